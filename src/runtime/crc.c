/* crc.c -- see crc.h.
 *
 * A CRC is a remainder modulo P in GF(2)[x], so that of A followed by n bits is the remainder of
 * A x^n, and x^n comes by repeated squaring.  Bits are reflected: bit 31 is x^0.
 */
#include "runtime/crc.h"

#define PIECE_BYTES ((int64_t)64 << 20)
#define POLYNOMIAL  UINT32_C(0x82f63b78)

int crc_pieces(int64_t bytes)
{
    return bytes <= PIECE_BYTES ? 1 : (int)((bytes + PIECE_BYTES - 1) / PIECE_BYTES);
}

int crc_cut(int id, int64_t offset, int64_t bytes, crc_piece *out)
{
    const int n = crc_pieces(bytes);
    for (int i = 0; i < n; i++) {
        const int64_t from = i * PIECE_BYTES;
        out[i] = (crc_piece){id, offset + from, bytes - from < PIECE_BYTES ? bytes - from : PIECE_BYTES};
    }
    return n;
}

/* a b mod P */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t sum = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit; bit >>= 1) {
        if (a & bit)
            sum ^= b;
        b = b & 1 ? (b >> 1) ^ POLYNOMIAL : b >> 1;
    }
    return sum;
}

uint32_t crc_combine(uint32_t a, uint32_t b, int64_t b_bytes)
{
    uint32_t power = UINT32_C(1) << 23, shift = UINT32_C(1) << 31; /* x^8, 1 */
    for (int64_t n = b_bytes; n; n >>= 1) {
        if (n & 1)
            shift = multiply(shift, power);
        power = multiply(power, power);
    }
    return multiply(a, shift) ^ b;
}
