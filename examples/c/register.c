/*
 * Registers a Meetings device and a Calling line, prints every event, and deregisters again.
 *
 *     WEBEX_ACCESS_TOKEN=... register                      with the Webex cloud
 *     WEBEX_ACCESS_TOKEN=... register <origin> <ca-file>   with a sandbox
 *
 * Build: cc register.c -I include -lwebex_ffi -lpthread
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <webex.h>

enum { PATIENCE_S = 60 };

/* What the callback tells the main thread. */
struct progress {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int meetings_registered;
    webex_line line; /* once it is registered */
    int failed;
    int released; /* no callback runs any more */
};

static int both_registered(const struct progress *now) {
    return now->failed || (now->meetings_registered && now->line);
}

static int both_unregistered(const struct progress *now) {
    return now->failed || (!now->meetings_registered && !now->line);
}

static int released(const struct progress *now) {
    return now->released;
}

/* Waits until something is so; 0 when it takes too long. */
static int wait_until(struct progress *progress, int (*is_so)(const struct progress *)) {
    struct timespec deadline;
    timespec_get(&deadline, TIME_UTC);
    deadline.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&progress->lock);
    int waited = 0;
    while (!is_so(progress) && waited != ETIMEDOUT) {
        waited = pthread_cond_timedwait(&progress->changed, &progress->lock, &deadline);
    }
    int so = is_so(progress);
    pthread_mutex_unlock(&progress->lock);
    return so;
}

/* Prints why the last call failed. */
static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, webex_last_error_message());
    return EXIT_FAILURE;
}

/* Runs on a thread of the library, for one event at a time. */
static void on_event(const webex_event *event, void *user_data) {
    struct progress *progress = user_data;
    printf("%s %s\n", event->name, event->json);

    pthread_mutex_lock(&progress->lock);
    switch (event->kind) {
    case WEBEX_EVENT_KIND_COMPLETED:
        if (event->status != WEBEX_STATUS_OK) {
            progress->failed = 1;
        } else if (event->source == WEBEX_SOURCE_CALLING) {
            /* Calling has started: register its first line. */
            webex_line line;
            if (webex_calling_line(event->object, 0, &line) || webex_line_register(line)) {
                progress->failed = 1;
            }
        }
        break;
    case WEBEX_EVENT_KIND_MEETINGS_REGISTERED:
        progress->meetings_registered = 1;
        break;
    case WEBEX_EVENT_KIND_MEETINGS_UNREGISTERED:
        progress->meetings_registered = 0;
        break;
    case WEBEX_EVENT_KIND_LINE_REGISTERED:
        progress->line = event->object;
        break;
    case WEBEX_EVENT_KIND_LINE_UNREGISTERED:
        progress->line = 0;
        break;
    case WEBEX_EVENT_KIND_LINE_ERROR:
        progress->failed = 1;
        break;
    default: /* nothing to do, or an event of a later version */
        break;
    }
    pthread_cond_broadcast(&progress->changed);
    pthread_mutex_unlock(&progress->lock);
}

/* Runs once, when no callback will run any more. */
static void on_released(void *user_data) {
    struct progress *progress = user_data;
    pthread_mutex_lock(&progress->lock);
    progress->released = 1;
    pthread_cond_broadcast(&progress->changed);
    pthread_mutex_unlock(&progress->lock);
}

/* Registers, shows the line, deregisters. */
static int run(webex_client client, struct progress *progress) {
    webex_calling calling;
    if (webex_meetings_register(client, NULL) || webex_calling_new(client, NULL, &calling, NULL)) {
        return failed("cannot register");
    }
    if (!wait_until(progress, both_registered) || progress->failed) {
        fprintf(stderr, "not registered\n");
        return EXIT_FAILURE;
    }
    char *line;
    if (webex_line_info(progress->line, &line)) {
        return failed("no line");
    }
    printf("the line is %s\n", line);
    webex_string_free(line);

    if (webex_client_shutdown(client, PATIENCE_S * 1000)) {
        return failed("cannot deregister");
    }
    return wait_until(progress, both_unregistered) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv) {
    const char *token = getenv("WEBEX_ACCESS_TOKEN");
    if (!token || argc > 3) {
        fprintf(stderr, "usage: WEBEX_ACCESS_TOKEN=... %s [<origin> [<ca-file>]]\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* each event when it happens, into a pipe too */
    webex_client_options options = {
        .struct_size = sizeof options,
        .access_token = token,
        .cloud_origin = argc > 1 ? argv[1] : NULL,
        .ca_file = argc > 2 ? argv[2] : NULL,
        .device_name = "register.c",
    };
    webex_client client;
    if (webex_client_new(&options, &client)) {
        return failed("no client");
    }
    struct progress progress = {
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    if (webex_client_subscribe(client, on_event, &progress, on_released, NULL)) {
        return failed("no events");
    }
    int code = run(client, &progress);

    /* `progress` lives on this stack: leave only when no callback can use it any more. */
    webex_client_free(client);
    wait_until(&progress, released);
    return code;
}
