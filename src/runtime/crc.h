/* crc.h -- CRC-32C of long stretches of a file, in pieces that can be joined. */
#ifndef DCV_RUNTIME_CRC_H
#define DCV_RUNTIME_CRC_H

#include <stdint.h>

typedef struct crc_piece {
    int id; /* the caller's */
    int64_t offset, bytes;
} crc_piece;

/* How many pieces a stretch has (1 at least), and the pieces themselves, in order. */
int crc_pieces(int64_t bytes);
int crc_cut(int id, int64_t offset, int64_t bytes, crc_piece *out);

/* CRC of A followed by B from those of A and B. */
uint32_t crc_combine(uint32_t a, uint32_t b, int64_t b_bytes);

#endif
