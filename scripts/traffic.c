/* Traffic for the proxy's measurements.
 *
 *   cc -O2 -o traffic traffic.c
 *   traffic serve PORT [SECONDS]             to each connection: the port's number, then close; after SIGTERM it goes
 *                                            on for SECONDS, as a server that is taken out of a Service should
 *   traffic count ADDRESS PORT COUNT         connect COUNT times, print how often each server answered
 *   traffic load ADDRESS PORT RATE SECONDS   RATE connections a second, print what became of them
 *   traffic sink PORT                        read and discard
 *   traffic send ADDRESS PORT SECONDS        one stream, print Gbit/s
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static struct sockaddr_in target;

static int connected(void)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {5, 0};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(s, (void *)&target, sizeof target)) {
        int error = errno;
        close(s);
        errno = error;
        return -1;
    }
    return s;
}

static int listening(int port)
{
    int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s, (void *)&a, sizeof a) || listen(s, 4096)) {
        perror("listen");
        exit(1);
    }
    return s;
}

static int grace;

static void leave(int number)
{
    if (number == SIGTERM && grace)
        alarm(grace);
    else
        _exit(0);
}

static void serve(int port)
{
    int s = listening(port);
    char name[16];
    int length = sprintf(name, "%d\n", port);
    signal(SIGTERM, leave);
    signal(SIGALRM, leave);
    for (;;) {
        int c = accept(s, 0, 0);
        if (c >= 0 && write(c, name, length) == length)
            shutdown(c, SHUT_WR);
        close(c);
    }
}

/* 0, or the errno of what went wrong; EPIPE for an answer that is none. */
static int ask(int *name)
{
    char answer[16] = "";
    int s = connected(), error = 0;
    if (s < 0)
        return errno;
    int got = read(s, answer, sizeof answer - 1);
    if (got <= 0)
        error = got ? errno : EPIPE;
    *name = atoi(answer);
    close(s);
    return error;
}

static void count(int n)
{
    static int seen[65536];
    int failed = 0, name;
    for (int i = 0; i < n; i++) {
        if (ask(&name))
            failed++;
        else
            seen[name]++;
    }
    printf("failed=%d", failed);
    for (int i = 0; i < 65536; i++)
        if (seen[i])
            printf(" %d=%d", i, seen[i]);
    printf("\n");
}

static int good, refused, reset, lost;

static void *one(void *unused)
{
    int name, error = ask(&name);
    __atomic_add_fetch(!error ? &good : error == ECONNREFUSED ? &refused : error == ECONNRESET ? &reset : &lost, 1,
                       __ATOMIC_RELAXED);
    return unused;
}

static void load(int rate, double seconds)
{
    double start = now();
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&small, 65536);
    int sent = 0;
    for (; sent < rate * seconds; sent++) {
        double wait = start + (double)sent / rate - now();
        if (wait > 0)
            usleep(wait * 1e6);
        pthread_t thread;
        if (pthread_create(&thread, &small, one, 0))
            one(0);
    }
    for (double end = now() + 6; good + refused + reset + lost < sent && now() < end;)
        usleep(1000);
    printf("sent=%d good=%d refused=%d reset=%d lost=%d\n", sent, good, refused, reset, sent - good - refused - reset);
}

static void sink(int port)
{
    static char buffer[1 << 18];
    int s = listening(port);
    for (;;) {
        int c = accept(s, 0, 0);
        while (read(c, buffer, sizeof buffer) > 0)
            ;
        close(c);
    }
}

static void send_for(double seconds)
{
    static char buffer[1 << 18];
    int s = connected();
    if (s < 0) {
        perror("connect");
        exit(1);
    }
    double start = now(), total = 0;
    while (now() - start < seconds) {
        ssize_t n = write(s, buffer, sizeof buffer);
        if (n < 0)
            break;
        total += n;
    }
    printf("%.3f\n", total * 8 / (now() - start) / 1e9);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc >= 3 && !strcmp(argv[1], "serve")) {
        grace = argc > 3 ? atoi(argv[3]) : 0;
        serve(atoi(argv[2]));
    }
    if (argc == 3 && !strcmp(argv[1], "sink"))
        sink(atoi(argv[2]));
    if (argc < 5) {
        fprintf(stderr, "usage: see the source\n");
        return 2;
    }
    target.sin_family = AF_INET;
    target.sin_port = htons(atoi(argv[3]));
    inet_pton(AF_INET, argv[2], &target.sin_addr);
    if (!strcmp(argv[1], "count"))
        count(atoi(argv[4]));
    else if (!strcmp(argv[1], "send"))
        send_for(atof(argv[4]));
    else
        load(atoi(argv[4]), atof(argv[5]));
    return 0;
}
