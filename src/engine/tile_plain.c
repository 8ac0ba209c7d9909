/* tile_plain.c -- tiles of plain input, a channel a plane. */
#include "engine/tile_kernel.h"
#if defined(__x86_64__) && defined(__GNUC__)
#include "engine/tile_make.h"

ALL(1, 1)
ALL(1, 2)
ALL(1, 4)

dcv_tile_fns dcv_tile_of_plain(int64_t stride)
{
    return stride == 1 ? tiles_1 : stride == 2 ? tiles_2 : tiles_4;
}
#endif
