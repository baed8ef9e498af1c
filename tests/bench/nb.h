#ifndef BENCH_NB_H
#define BENCH_NB_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/* What the parts of the load generator share; times are seconds */

#define NB_FLOWS_MAX	60000
#define NB_UDP_MAX	9000

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

/** nb_flows() - Open @flows connections within @secs, keep them, idle */
int nb_flows(const struct sockaddr_in *a, double secs, int flows);

/** nb_udp_send() - Datagrams of @size to @a, flat out; an empty one ends them */
int nb_udp_send(const struct sockaddr_in *a, double secs, int size);

/** nb_udp_receive() - Count datagrams to @a, for @secs at most */
int nb_udp_receive(const struct sockaddr_in *a, double secs, int size);

/** nb_udp_serve() - As nb_udp_send(), to the first who sends anything to @a */
int nb_udp_serve(const struct sockaddr_in *a, double secs, int size);

/** nb_udp_ask() - Say hello to @a, then as nb_udp_receive() */
int nb_udp_ask(const struct sockaddr_in *a, double secs, int size);

#endif /* BENCH_NB_H */
