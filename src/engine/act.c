/* act.c -- SiLU and HardSwish in place. */
#include "engine/act.h"
#include "engine/ops/exp.h"

bool dcv_act_is_curve(dcv_act act)
{
    return act == DCV_ACT_SILU || act == DCV_ACT_HARD_SWISH;
}

DCV_CLONES static void silu(int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i += DCV_EXP_CHUNK) {
        float v[DCV_EXP_CHUNK];
        const int m = (int)(n - i < DCV_EXP_CHUNK ? n - i : DCV_EXP_CHUNK);
        for (int k = 0; k < m; k++)
            v[k] = -y[i + k];
        dcv_exp_chunk(m, v, v);
        for (int k = 0; k < m; k++)
            y[i + k] *= 1 / (1 + v[k]);
    }
}

DCV_CLONES static void hard_swish(int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++) {
        const float v = y[i] * (1.0f / 6) + 0.5f, w = v < 0 ? 0 : v;
        y[i] *= w > 1 ? 1 : w;
    }
}

void dcv_act_run(dcv_act act, int64_t n, float *y)
{
    if (act == DCV_ACT_SILU)
        silu(n, y);
    else if (act == DCV_ACT_HARD_SWISH)
        hard_swish(n, y);
}
