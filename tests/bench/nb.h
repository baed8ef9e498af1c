#ifndef BENCH_NB_H
#define BENCH_NB_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/* What the parts of the load generator share; times are seconds */

/** nb_now() - The monotonic clock */
double nb_now(void);

/** nb_die() - Say what failed, and errno, and leave */
_Noreturn void nb_die(const char *what);

/** nb_sample() - Note one round trip; any thread */
void nb_sample(double s);

/** nb_report() - Rate, percentiles and errors as a line of JSON */
void nb_report(const char *test, double s, uint64_t errors);

/** nb_connect() - TCP with TCP_NODELAY and time-outs; -1 on failure */
int nb_connect(const struct sockaddr_in *a);

/** nb_server() - Echo on TCP until a signal */
int nb_server(const struct sockaddr_in *a);

/** nb_rr() - One byte there and back, closed loop on @conns connections */
int nb_rr(const struct sockaddr_in *a, double secs, int conns);

/** nb_crr() - Connect, one byte there and back, close; @workers threads */
int nb_crr(const struct sockaddr_in *a, double secs, int workers);

#endif /* BENCH_NB_H */
