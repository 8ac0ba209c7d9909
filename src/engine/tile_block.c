/* tile_block.c -- tiles of blocks of 16 channels. */
#include "engine/tile_kernel.h"
#if defined(__x86_64__) && defined(__GNUC__)
#include "engine/tile_make.h"

ALL(16, 16)
ALL(16, 32)

dcv_tile_fns dcv_tile_of_blocks(int64_t stride)
{
    return stride == 1 ? tiles_16 : tiles_32;
}
#endif
