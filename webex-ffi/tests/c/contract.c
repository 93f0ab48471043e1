/*
 * Does with the library what no program should do, and checks that it is told so.
 *
 *     WEBEX_ACCESS_TOKEN=... contract <origin> <ca-file>
 *
 * Prints each clause of the contract (docs/ffi.md) that holds. Ends with 1, and says where, at the
 * first that does not. Meant to run under valgrind.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <webex.h>

#if defined(__clang__)
#pragma clang diagnostic ignored "-Wnonnull" /* passing NULL is the point */
#endif

#define CHECK(is_so)                                                                               \
    do {                                                                                           \
        if (!(is_so)) {                                                                            \
            const char *last = webex_last_error_message();                                         \
            fprintf(stderr, "%s:%d: not so: %s (last error: %s)\n", __FILE__, __LINE__, #is_so,    \
                    last ? last : "none");                                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* The call fails with a status, which is also the last error of the thread. */
#define FAILS(call, expected)                                                                      \
    do {                                                                                           \
        CHECK((call) == (expected));                                                               \
        CHECK(webex_last_error_status() == (expected));                                            \
        CHECK(webex_last_error_message()[0] != '\0');                                              \
    } while (0)

enum { PATIENCE_MS = 60000 };
static const uint64_t UNTOUCHED = 0x5a5a5a5a5a5a5a5a;

static const char *token;
static const char *origin;
static const char *ca_file;
/* An origin that takes connections and never answers. */
static char silence[64];

static webex_client_options options_for(const char *cloud) {
    webex_client_options options = {
        .struct_size = sizeof options,
        .access_token = token,
        .cloud_origin = cloud,
        .ca_file = ca_file,
    };
    return options;
}

static webex_client client_of(const char *cloud) {
    webex_client_options options = options_for(cloud);
    webex_client client = 0;
    CHECK(webex_client_new(&options, &client) == WEBEX_STATUS_OK);
    CHECK(client != 0);
    return client;
}

/* Fetches events until the end of a call. */
static webex_event completion(webex_client client, uint64_t request_id) {
    webex_event event = {.struct_size = sizeof event};
    do {
        CHECK(webex_client_next_event(client, PATIENCE_MS, &event) == WEBEX_STATUS_OK);
        CHECK(event.struct_size == sizeof event);
        CHECK(strlen(event.json) == event.json_len && event.json[0] == '{');
        CHECK((event.status == WEBEX_STATUS_OK) == (event.message == NULL));
        CHECK(!strstr(event.json, token) && event.client == client);
    } while (event.kind != WEBEX_EVENT_KIND_COMPLETED || event.request_id != request_id);
    return event;
}

/* --- what a subscriber has seen --- */

struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int events;
    int freed;
    webex_client free_client;       /* what the callback frees, once */
    webex_subscription unsubscribe; /* what it unsubscribes, once */
};

#define NOTHING_SEEN {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}

static void see(const webex_event *event, void *user_data) {
    struct seen *seen = user_data;
    CHECK(event->struct_size >= sizeof *event);
    pthread_mutex_lock(&seen->lock);
    CHECK(!seen->freed);
    webex_client client = seen->free_client;
    webex_subscription subscription = seen->unsubscribe;
    seen->free_client = seen->unsubscribe = 0;
    pthread_mutex_unlock(&seen->lock);
    if (client) {
        CHECK(webex_client_free(client) == WEBEX_STATUS_OK);
        FAILS(webex_client_free(client), WEBEX_STATUS_INVALID_HANDLE);
    }
    if (subscription) {
        CHECK(webex_unsubscribe(subscription) == WEBEX_STATUS_OK);
        FAILS(webex_unsubscribe(subscription), WEBEX_STATUS_INVALID_HANDLE);
    }
    /* The event is there until the callback returns, whatever was freed. */
    CHECK(strlen(event->json) == event->json_len);
    pthread_mutex_lock(&seen->lock);
    seen->events += 1;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static void see_freed(void *user_data) {
    struct seen *seen = user_data;
    pthread_mutex_lock(&seen->lock);
    seen->freed += 1;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static void wait_for(struct seen *seen, const int *count, int least) {
    struct timespec deadline;
    timespec_get(&deadline, TIME_UTC);
    deadline.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&seen->lock);
    while (*count < least) {
        CHECK(pthread_cond_timedwait(&seen->changed, &seen->lock, &deadline) == 0);
    }
    pthread_mutex_unlock(&seen->lock);
}

/* --- the contract --- */

static void versions_and_names(void) {
    CHECK(strcmp(webex_version(), WEBEX_VERSION) == 0);
    CHECK(strcmp(webex_status_name(WEBEX_STATUS_INVALID_HANDLE), "invalid_handle") == 0);
    CHECK(strcmp(webex_status_name(-7), "unknown") == 0);
    CHECK(webex_last_error_status() == 0 && webex_last_error_message() == NULL);
    CHECK(webex_last_error_tracking_id() == NULL);
    webex_string_free(NULL);
}

static void bad_options(void) {
    webex_client client = UNTOUCHED;
    webex_client_options good = options_for(origin), bad;
    FAILS(webex_client_new(NULL, &client), WEBEX_STATUS_INVALID_ARGUMENT);
    FAILS(webex_client_new(&good, NULL), WEBEX_STATUS_INVALID_ARGUMENT);
    FAILS(webex_client_new((void *)((char *)&good + 1), &client), WEBEX_STATUS_INVALID_ARGUMENT);
#define BAD(field, value, expected)                                                                \
    bad = good;                                                                                    \
    bad.field = (value);                                                                           \
    FAILS(webex_client_new(&bad, &client), expected)
    BAD(struct_size, 0, WEBEX_STATUS_INVALID_ARGUMENT);
    BAD(struct_size, UINT32_MAX, WEBEX_STATUS_INVALID_ARGUMENT);
    BAD(flags, 1u << 31, WEBEX_STATUS_INVALID_ARGUMENT);
    BAD(access_token, NULL, WEBEX_STATUS_INVALID_ARGUMENT);
    BAD(access_token, "\xff\xfe", WEBEX_STATUS_INVALID_ARGUMENT);
    BAD(access_token, "two words-of-a-secret", WEBEX_STATUS_CONFIGURATION);
    CHECK(!strstr(webex_last_error_message(), "secret"));
    BAD(cloud_origin, "not an origin", WEBEX_STATUS_CONFIGURATION);
    BAD(ca_file, "/no/such/file", WEBEX_STATUS_CONFIGURATION);
    BAD(ca_pem, "not PEM", WEBEX_STATUS_CONFIGURATION);
    CHECK(client == UNTOUCHED);

    /* A program of a later version, whose struct is longer. */
    struct {
        webex_client_options known;
        const char *later;
    } newer = {.known = good, .later = NULL};
    newer.known.struct_size = sizeof newer;
    CHECK(webex_client_new(&newer.known, &client) == WEBEX_STATUS_OK);
    CHECK(webex_client_free(client) == WEBEX_STATUS_OK);
    newer.later = "something this version does not know";
    FAILS(webex_client_new(&newer.known, &client), WEBEX_STATUS_INVALID_ARGUMENT);
}

static void bad_handles(void) {
    webex_client client = client_of(origin);
    webex_meetings_phase phase;
    webex_line_phase line_phase;
    char *json = NULL;
    const uint64_t wrong[] = {0, 1, UNTOUCHED, UINT64_MAX, client + 1, client ^ (1ull << 32)};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        FAILS(webex_client_free(wrong[i]), WEBEX_STATUS_INVALID_HANDLE);
        FAILS(webex_meetings_register(wrong[i], NULL), WEBEX_STATUS_INVALID_HANDLE);
        FAILS(webex_line_register(wrong[i]), WEBEX_STATUS_INVALID_HANDLE);
    }
    /* Of another kind. */
    FAILS(webex_line_register(client), WEBEX_STATUS_INVALID_HANDLE);
    FAILS(webex_line_deregister(client), WEBEX_STATUS_INVALID_HANDLE);
    FAILS(webex_line_state(client, &line_phase), WEBEX_STATUS_INVALID_HANDLE);
    FAILS(webex_line_info(client, &json), WEBEX_STATUS_INVALID_HANDLE);
    FAILS(webex_calling_free(client), WEBEX_STATUS_INVALID_HANDLE);
    FAILS(webex_unsubscribe(client), WEBEX_STATUS_INVALID_HANDLE);
    CHECK(json == NULL);
    FAILS(webex_meetings_state(client, NULL), WEBEX_STATUS_INVALID_ARGUMENT);
    CHECK(webex_meetings_state(client, &phase) == WEBEX_STATUS_OK);
    CHECK(phase == WEBEX_MEETINGS_PHASE_UNREGISTERED);

    CHECK(webex_client_free(client) == WEBEX_STATUS_OK);
    FAILS(webex_client_free(client), WEBEX_STATUS_INVALID_HANDLE);
    FAILS(webex_meetings_state(client, &phase), WEBEX_STATUS_INVALID_HANDLE);
    FAILS(webex_client_shutdown(client, 0), WEBEX_STATUS_INVALID_HANDLE);
}

static void user_data_is_freed_when_subscribing_fails(void) {
    struct seen seen = NOTHING_SEEN;
    webex_subscription subscription = UNTOUCHED;
    webex_client client = client_of(origin);
    FAILS(webex_client_subscribe(client, NULL, &seen, see_freed, &subscription),
          WEBEX_STATUS_INVALID_ARGUMENT);
    CHECK(seen.freed == 1);
    CHECK(webex_client_free(client) == WEBEX_STATUS_OK);
    FAILS(webex_client_subscribe(client, see, &seen, see_freed, &subscription),
          WEBEX_STATUS_INVALID_HANDLE);
    CHECK(seen.freed == 2 && seen.events == 0 && subscription == UNTOUCHED);
}

static void unsubscribing_in_a_callback(void) {
    struct seen leaves = NOTHING_SEEN, stays = NOTHING_SEEN;
    webex_client client = client_of(origin);
    pthread_mutex_lock(&leaves.lock); /* until its subscription is known */
    CHECK(webex_client_subscribe(client, see, &leaves, see_freed, &leaves.unsubscribe) == 0);
    CHECK(webex_client_subscribe(client, see, &stays, see_freed, NULL) == 0);
    pthread_mutex_unlock(&leaves.lock);
    CHECK(webex_meetings_ready(client, NULL) == 0); /* two events */
    wait_for(&leaves, &leaves.freed, 1);
    wait_for(&stays, &stays.events, 2);
    CHECK(leaves.events == 1);

    webex_event event = {.struct_size = sizeof event};
    FAILS(webex_client_next_event(client, 0, &event), WEBEX_STATUS_INVALID_STATE);
    CHECK(webex_client_free(client) == 0);
    wait_for(&stays, &stays.freed, 1);
    CHECK(leaves.freed == 1 && leaves.events == 1);
}

static void freeing_the_client_in_a_callback(void) {
    struct seen seen = NOTHING_SEEN;
    webex_client client = seen.free_client = client_of(origin);
    webex_subscription subscription;
    CHECK(webex_client_subscribe(client, see, &seen, see_freed, &subscription) == 0);
    CHECK(webex_meetings_ready(client, NULL) == 0);
    wait_for(&seen, &seen.freed, 1);
    CHECK(seen.events == 1);
    FAILS(webex_unsubscribe(subscription), WEBEX_STATUS_INVALID_HANDLE);
    FAILS(webex_meetings_ready(client, NULL), WEBEX_STATUS_INVALID_HANDLE);
}

static void freeing_with_work_in_flight(void) {
    struct seen seen = NOTHING_SEEN;
    const char *clouds[] = {silence, origin};
    for (int round = 0; round < 4; round++) {
        webex_client client = client_of(clouds[round % 2]);
        webex_calling calling;
        CHECK(webex_client_subscribe(client, see, &seen, see_freed, NULL) == 0);
        CHECK(webex_meetings_register(client, NULL) == 0);
        CHECK(webex_calling_new(client, NULL, &calling, NULL) == 0);
        CHECK(webex_client_free(client) == 0);
        FAILS(webex_calling_free(calling), WEBEX_STATUS_INVALID_HANDLE);
        wait_for(&seen, &seen.freed, 1);
        seen.freed = 0; /* no callback runs any more */
    }
}

static void cancelling(void) {
    webex_client client = client_of(silence);
    uint64_t ready = 0, start = 0;
    webex_calling calling = 0;
    CHECK(webex_meetings_ready(client, &ready) == 0 && ready != 0);
    CHECK(webex_client_cancel(client, ready) == 0);
    FAILS(webex_client_cancel(client, ready), WEBEX_STATUS_NOT_FOUND);
    webex_event event = completion(client, ready);
    CHECK(event.status == WEBEX_STATUS_CANCELLED && event.source == WEBEX_SOURCE_MEETINGS);
    CHECK(strcmp(event.name, "completed") == 0);

    /* Freeing a calling object cancels its start. */
    CHECK(webex_calling_new(client, NULL, &calling, &start) == 0);
    CHECK(webex_calling_free(calling) == 0);
    event = completion(client, start);
    CHECK(event.status == WEBEX_STATUS_CANCELLED && event.object == calling);
    event.struct_size = sizeof event;
    FAILS(webex_client_next_event(client, 0, &event), WEBEX_STATUS_TIMEOUT);

    /* So does shutting down; there is nothing to deregister. */
    CHECK(webex_meetings_register(client, &ready) == 0);
    CHECK(webex_client_shutdown(client, WEBEX_FOREVER) == 0);
    CHECK(completion(client, ready).status == WEBEX_STATUS_CANCELLED);
    CHECK(webex_client_free(client) == 0);
}

static void *wait_for_event(void *client) {
    webex_event event = {.struct_size = sizeof event};
    webex_status ended = webex_client_next_event(*(webex_client *)client, WEBEX_FOREVER, &event);
    /* The client is freed before this call begins, or while it waits. */
    CHECK(ended == WEBEX_STATUS_INVALID_HANDLE || ended == WEBEX_STATUS_CANCELLED);
    return NULL;
}

static void fetching_events(void) {
    webex_client client = client_of(origin);
    uint64_t ready;
    webex_event event = {.struct_size = 3};
    FAILS(webex_client_next_event(client, 0, NULL), WEBEX_STATUS_INVALID_ARGUMENT);
    FAILS(webex_client_next_event(client, 0, &event), WEBEX_STATUS_INVALID_ARGUMENT);
    CHECK(webex_meetings_ready(client, &ready) == 0);
    event.struct_size = sizeof event;
    CHECK(webex_client_next_event(client, PATIENCE_MS, &event) == 0);
    CHECK(event.kind == WEBEX_EVENT_KIND_MEETINGS_READY);
    CHECK(strcmp(event.name, "meetings:ready") == 0 && event.object == client);
    event = completion(client, ready);
    CHECK(event.status == WEBEX_STATUS_OK);

    /* The texts of the last event outlive the client, and a wait ends with it. */
    pthread_t waiting;
    CHECK(pthread_create(&waiting, NULL, wait_for_event, &client) == 0);
    CHECK(webex_client_free(client) == 0);
    CHECK(pthread_join(waiting, NULL) == 0);
    CHECK(strcmp(event.name, "completed") == 0 && strcmp(event.json, "{}") == 0);
}

static void calling_options(void) {
    webex_client client = client_of(silence);
    webex_calling calling = UNTOUCHED;
    webex_calling_options options = {.struct_size = sizeof options, .service = 99};
    FAILS(webex_calling_new(client, &options, &calling, NULL), WEBEX_STATUS_INVALID_ARGUMENT);
    options.service = WEBEX_CALLING_SERVICE_CALLING;
    options.region = "US-EAST";
    FAILS(webex_calling_new(client, &options, &calling, NULL), WEBEX_STATUS_INVALID_ARGUMENT);
    FAILS(webex_calling_new(client, NULL, NULL, NULL), WEBEX_STATUS_INVALID_ARGUMENT);
    CHECK(calling == UNTOUCHED);

    size_t count = 77;
    webex_line line = UNTOUCHED;
    options.country = "US";
    CHECK(webex_calling_new(client, &options, &calling, NULL) == 0);
    FAILS(webex_calling_line_count(calling, &count), WEBEX_STATUS_INVALID_STATE);
    FAILS(webex_calling_line(calling, 0, &line), WEBEX_STATUS_INVALID_STATE);
    FAILS(webex_calling_deregister(calling, NULL), WEBEX_STATUS_INVALID_STATE);
    FAILS(webex_line_register(calling), WEBEX_STATUS_INVALID_HANDLE);
    CHECK(count == 77 && line == UNTOUCHED);
    CHECK(webex_client_free(client) == 0);
}

static void lines_end_with_their_calling_object(void) {
    webex_client client = client_of(origin);
    webex_calling calling;
    webex_line line;
    uint64_t start, end;
    size_t count;
    webex_line_activity activity;
    webex_line_phase phase;
    CHECK(webex_calling_new(client, NULL, &calling, &start) == 0);
    CHECK(completion(client, start).status == WEBEX_STATUS_OK);
    CHECK(webex_calling_line_count(calling, &count) == 0 && count == 1);
    CHECK(webex_calling_line(calling, 0, &line) == 0);
    FAILS(webex_calling_line(calling, 1, &line), WEBEX_STATUS_NOT_FOUND);
    FAILS(webex_line_info(line, NULL), WEBEX_STATUS_INVALID_ARGUMENT);
    CHECK(webex_line_status(line, &activity) == 0 && activity == WEBEX_LINE_ACTIVITY_INACTIVE);
    CHECK(webex_line_state(line, &phase) == 0 && phase == WEBEX_LINE_PHASE_IDLE);
    CHECK(webex_calling_deregister(calling, &end) == 0);
    CHECK(completion(client, end).status == WEBEX_STATUS_OK);
    CHECK(webex_calling_free(calling) == 0);
    FAILS(webex_line_state(line, &phase), WEBEX_STATUS_INVALID_HANDLE);
    FAILS(webex_calling_free(calling), WEBEX_STATUS_INVALID_HANDLE);
    CHECK(webex_client_free(client) == 0);
}

static void a_refused_token(void) {
    webex_client_options options = options_for(origin);
    options.access_token = "stranger-with-a-secret";
    webex_client client;
    uint64_t request;
    CHECK(webex_client_new(&options, &client) == 0);
    CHECK(webex_meetings_register(client, &request) == 0);
    webex_event event = completion(client, request);
    CHECK(event.status == WEBEX_STATUS_UNAUTHORIZED);
    CHECK(strstr(event.json, "\"kind\":\"unauthorized\""));
    CHECK(!strstr(event.json, "secret") && !strstr(event.message, "secret"));
    CHECK(webex_client_free(client) == 0);
}

static void *come_and_go(void *unused) {
    (void)unused;
    for (int round = 0; round < 8; round++) {
        struct seen seen = NOTHING_SEEN;
        webex_client client = client_of(origin);
        CHECK(webex_client_subscribe(client, see, &seen, see_freed, NULL) == 0);
        CHECK(webex_meetings_ready(client, NULL) == 0);
        CHECK(webex_client_free(client) == 0);
        wait_for(&seen, &seen.freed, 1);
    }
    return NULL;
}

static void many_threads(void) {
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, come_and_go, NULL) == 0);
    }
    for (size_t i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

static void listen_in_silence(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&address, length) == 0);
    CHECK(listen(listener, 16) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    snprintf(silence, sizeof silence, "https://127.0.0.1:%d", ntohs(address.sin_port));
}

#define CLAUSE(name) {#name, name}
static const struct {
    const char *name;
    void (*check)(void);
} clauses[] = {
    CLAUSE(versions_and_names),
    CLAUSE(bad_options),
    CLAUSE(bad_handles),
    CLAUSE(user_data_is_freed_when_subscribing_fails),
    CLAUSE(unsubscribing_in_a_callback),
    CLAUSE(freeing_the_client_in_a_callback),
    CLAUSE(freeing_with_work_in_flight),
    CLAUSE(cancelling),
    CLAUSE(fetching_events),
    CLAUSE(calling_options),
    CLAUSE(lines_end_with_their_calling_object),
    CLAUSE(a_refused_token),
    CLAUSE(many_threads),
};

int main(int argc, char **argv) {
    token = getenv("WEBEX_ACCESS_TOKEN");
    if (!token || argc != 3) {
        fprintf(stderr, "usage: WEBEX_ACCESS_TOKEN=... %s <origin> <ca-file>\n", argv[0]);
        return 2;
    }
    origin = argv[1];
    ca_file = argv[2];
    listen_in_silence();

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof clauses / sizeof *clauses; i++) {
        clauses[i].check();
        puts(clauses[i].name);
    }
    return 0;
}
