/* status.h -- what can go wrong, and how it is said once.
 *
 * Every function that can fail returns a dcv_status.  dcv_fail() is called at the origin
 * only: it keeps one message for the calling thread; everybody above passes the status on
 * with DCV_TRY.  Nobody below main and log prints, exits or aborts.
 *
 * A message reads "FILE:LINE:COLUMN: what is wrong; what was expected; nearest known name",
 * with as much of the place as there is.  Not a sentence of its own: no capital, no full stop.
 */
#ifndef DECONVOY_STATUS_H
#define DECONVOY_STATUS_H

#include <stddef.h>

#define DCV_MUST_USE     __attribute__((warn_unused_result))
#define DCV_PRINTF(f, a) __attribute__((format(printf, f, a)))

typedef enum dcv_status {
    DCV_OK = 0,
    DCV_EUSAGE,       /* the command line                                      exit 64 */
    DCV_EDATA,        /* input data that is broken or does not fit             exit 65 */
    DCV_EUNSUPPORTED, /* a valid model with an operator we do not have         exit 65 */
    DCV_ENOINPUT,     /* an input that is not there                            exit 66 */
    DCV_ENOMEM,       /* malloc refused                                        exit 70 */
    DCV_EINTERNAL,    /* we are wrong                                          exit 70 */
    DCV_EIO,          /* I/O error, disk full, quota, output not writable      exit 74 */
    DCV_ESTOP,        /* stopped before the end; run again to go on            exit 75 */
    DCV_ECONFIG,      /* the YAML, or a key that only model or data can judge  exit 78 */
    DCV_N_STATUS
} dcv_status;

/* Record a message for this thread and return code. */
dcv_status dcv_fail(dcv_status code, const char *fmt, ...) DCV_PRINTF(2, 3);

/* Put "fmt: " before the message of a failure that is on its way up (a place that only
 * the caller knows).  Returns code. */
dcv_status dcv_fail_in(dcv_status code, const char *fmt, ...) DCV_PRINTF(2, 3);

/* The message of this thread's last dcv_fail(), "" if there was none.  Borrowed. */
const char *dcv_message(void);

/* Forget the message. */
void dcv_message_clear(void);

/* The process exit code that the contract gives a status: 0, 64 ... 78. */
int dcv_exit_code(dcv_status code);

/* The known name nearest to word by edit distance, or NULL if none is near enough to be
 * meant.  names: n strings. */
const char *dcv_nearest(const char *word, const char *const *names, size_t n);

#define DCV_TRY(call)                                                                                                  \
    do {                                                                                                               \
        dcv_status dcv_try_ = (call);                                                                                  \
        if (dcv_try_ != DCV_OK)                                                                                        \
            return dcv_try_;                                                                                           \
    } while (0)

/* Like DCV_TRY where something is held: sets st and goes to the label done. */
#define DCV_TRY_DONE(st, call)                                                                                         \
    do {                                                                                                               \
        (st) = (call);                                                                                                 \
        if ((st) != DCV_OK)                                                                                            \
            goto done;                                                                                                 \
    } while (0)

/* A fault of the program itself, always checked: prints the place and aborts. */
#define DCV_CHECK(cond) ((cond) ? (void)0 : dcv_check_failed(#cond, __FILE__, __LINE__))
_Noreturn void dcv_check_failed(const char *cond, const char *file, int line);

#endif
