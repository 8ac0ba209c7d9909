/* agree.c -- one rank's failure is every rank's decision. */
#include "deconvoy/run.h"
#include "runtime/wire.h"

/* Which status wins where ranks have several: causes before consequences. */
static const int weight[DCV_N_STATUS] = {
    [DCV_OK] = 0,      [DCV_ESTOP] = 1,  [DCV_ENOINPUT] = 2, [DCV_EDATA] = 3, [DCV_EUNSUPPORTED] = 4,
    [DCV_ECONFIG] = 5, [DCV_EUSAGE] = 6, [DCV_ENOMEM] = 7,   [DCV_EIO] = 8,   [DCV_EINTERNAL] = 9,
};

int dcv_least(int mine)
{
    int32_t most = -mine;
    wire_max_i32(WIRE_WORLD, &most, 1);
    return -most;
}

dcv_status dcv_agree(dcv_status mine, bool *speaks)
{
    const int size = wire_size(WIRE_WORLD), rank = wire_rank(WIRE_WORLD);
    /* The heaviest status, of the lowest rank that has it. */
    int64_t v = ((int64_t)weight[mine] << 40) + (int64_t)(size - rank) * DCV_N_STATUS + mine;
    wire_max_i64(&v, 1);
    const dcv_status worst = (dcv_status)((v & ((INT64_C(1) << 40) - 1)) % DCV_N_STATUS);
    *speaks = worst != DCV_OK && size - rank == (int)((v & ((INT64_C(1) << 40) - 1)) / DCV_N_STATUS);
    return worst;
}
