/* config_parts.h -- what the files of the configuration share. */
#ifndef DCV_IO_CONFIG_PARTS_H
#define DCV_IO_CONFIG_PARTS_H

#include "deconvoy/config.h"

extern const dcv_field dcv_model_fields[], dcv_dataset_fields[], dcv_preprocess_fields[];

/* Put "key.path=VALUE" into the tree: sections are made, mappings merged, all else replaced.
 *
 * option   "--set" or "--preprocess", for messages
 *
 * DCV_EUSAGE without '=' or with an empty key; DCV_ECONFIG where VALUE is not YAML or the path leads through a value.
 */
dcv_status dcv_config_set(dcv_tree *root, const char *option, const char *set, dcv_arena *arena) DCV_MUST_USE;

/* What of preprocess was written (map may be NULL), and what the preset gives to the rest. */
void dcv_preprocess_resolve(dcv_preprocess *p, const dcv_tree *map);

/* Make c->text. */
dcv_status dcv_config_make_text(dcv_config *c) DCV_MUST_USE;

#endif
