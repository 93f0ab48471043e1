/*
 * The code samples of the public documentation, in C, each in the order in which it is written there.
 *
 *     WEBEX_ACCESS_TOKEN=... samples <origin> <ca-file>
 *
 * Two pages: "Web Meetings SDK | Authorization and Device Registration" (the Meetings page) and "Webex
 * Calling | Authorization" (the Calling page). Prints each event by its name and JSON. The first
 * registration of a line is expected to fail: the test that runs this program makes it so.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <webex.h>

#define CHECK(is_so)                                                                               \
    do {                                                                                           \
        if (!(is_so)) {                                                                            \
            const char *last = webex_last_error_message();                                         \
            fprintf(stderr, "%s:%d: not so: %s (last error: %s)\n", __FILE__, __LINE__, #is_so,    \
                    last ? last : "none");                                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { PATIENCE_S = 60, KINDS = 128 };

/* How often each kind of event has come. */
struct page {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int seen[KINDS];
    int released;
};

#define NEW_PAGE {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}

static void note(struct page *page, const webex_event *event) {
    CHECK(event->kind >= 0 && event->kind < KINDS);
    printf("%s %s\n", event->name, event->json);
    pthread_mutex_lock(&page->lock);
    page->seen[event->kind] += 1;
    pthread_cond_broadcast(&page->changed);
    pthread_mutex_unlock(&page->lock);
}

static void wait_for(struct page *page, const int *count, int least) {
    struct timespec deadline;
    timespec_get(&deadline, TIME_UTC);
    deadline.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&page->lock);
    while (*count < least) {
        CHECK(pthread_cond_timedwait(&page->changed, &page->lock, &deadline) == 0);
    }
    pthread_mutex_unlock(&page->lock);
}

static void released(void *user_data) {
    struct page *page = user_data;
    pthread_mutex_lock(&page->lock);
    page->released = 1;
    pthread_cond_broadcast(&page->changed);
    pthread_mutex_unlock(&page->lock);
}

/* --- the Meetings page --- */

/* webex.meetings.on('meetings:ready', ...) and webex.meetings.on('meetings:registered', ...) */
static void on_meetings_event(const webex_event *event, void *user_data) {
    if (event->kind == WEBEX_EVENT_KIND_MEETINGS_READY) {
        CHECK(strcmp(event->name, "meetings:ready") == 0);
        CHECK(strcmp(event->json, "{}") == 0); /* "The ready event returns no payload." */
        /* "Register a new device..." */
        CHECK(webex_meetings_register(event->client, NULL) == WEBEX_STATUS_OK);
    }
    if (event->kind == WEBEX_EVENT_KIND_MEETINGS_REGISTERED) {
        CHECK(strcmp(event->name, "meetings:registered") == 0);
        CHECK(strcmp(event->json, "{}") == 0);
        webex_meetings_phase phase;
        CHECK(webex_meetings_state(event->client, &phase) == WEBEX_STATUS_OK);
        CHECK(phase == WEBEX_MEETINGS_PHASE_REGISTERED);
    }
    note(user_data, event);
}

static void meetings_page(const webex_client_options *init) {
    struct page page = NEW_PAGE;
    /* const webex = Webex.init({ credentials: { access_token: `...` } }); */
    webex_client webex;
    CHECK(webex_client_new(init, &webex) == WEBEX_STATUS_OK);
    /* "You can subscribe to the ready event immediately following Webex.init." */
    CHECK(webex_client_subscribe(webex, on_meetings_event, &page, released, NULL) == WEBEX_STATUS_OK);
    wait_for(&page, &page.seen[WEBEX_EVENT_KIND_MEETINGS_REGISTERED], 1);
    /* The call that the handler began has its end told, too. */
    wait_for(&page, &page.seen[WEBEX_EVENT_KIND_COMPLETED], 1);
    CHECK(page.seen[WEBEX_EVENT_KIND_MEETINGS_READY] == 1);

    /* await webex.meetings.unregister(); */
    CHECK(webex_meetings_unregister(webex, NULL) == WEBEX_STATUS_OK);
    wait_for(&page, &page.seen[WEBEX_EVENT_KIND_COMPLETED], 2);
    CHECK(page.seen[WEBEX_EVENT_KIND_MEETINGS_UNREGISTERED] == 1);
    CHECK(webex_client_free(webex) == WEBEX_STATUS_OK);
    wait_for(&page, &page.released, 1);
}

/* --- the Calling page --- */

/* line.on('registered', ...), line.on('connecting', ...), line.on('error', ...), line.on('unregistered', ...) */
static void on_line_event(const webex_event *event, void *user_data) {
    if (event->kind == WEBEX_EVENT_KIND_LINE_REGISTERED) {
        CHECK(strstr(event->json, "\"status\":\"active\"")); /* "access to the line details" */
        CHECK(strstr(event->json, "\"mobiusDeviceId\":\""));
        CHECK(strstr(event->json, "\"sipAddresses\":[\"sip:"));
    }
    if (event->kind == WEBEX_EVENT_KIND_LINE_ERROR) {
        /* The page's example of an error. */
        CHECK(strstr(event->json, "\"status\":\"inactive\""));
        CHECK(strstr(event->json, "\"type\":\"tokenError\""));
        CHECK(strstr(event->json,
                     "\"msg\":\"Token expired. Authentication/Authorization error.\""));
    }
    note(user_data, event);
}

/* "Each of the line objects contain the following information." */
static void check_properties(webex_line line, const char *status) {
    static const char *const names[] = {
        "lineId",       "mobiusDeviceId",    "phoneNumber",           "extension",
        "status",       "sipAddresses",      "voicemail",             "lastSeen",
        "keepaliveInterval",                 "callKeepaliveInterval", "rehomingIntervalMin",
        "rehomingIntervalMax",               "voicePortalNumber",     "voicePortalExtension",
    };
    char *json;
    CHECK(webex_line_info(line, &json) == WEBEX_STATUS_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char key[64];
        snprintf(key, sizeof key, "\"%s\":", names[i]);
        CHECK(strstr(json, key));
    }
    char is[64];
    snprintf(is, sizeof is, "\"status\":\"%s\"", status);
    CHECK(strstr(json, is));
    webex_string_free(json);
}

/* A line is found by the lineId that its properties show. */
static void check_lookup(webex_calling calling, webex_line line) {
    char *json;
    CHECK(webex_line_info(line, &json) == WEBEX_STATUS_OK);
    const char *key = "\"lineId\":\"";
    const char *value = strstr(json, key);
    CHECK(value);
    char id[37] = {0};
    memcpy(id, value + strlen(key), sizeof id - 1);
    webex_string_free(json);
    webex_line found;
    CHECK(webex_calling_line_by_id(calling, id, &found) == WEBEX_STATUS_OK);
    CHECK(found == line);
}

static void calling_page(const webex_client_options *init) {
    struct page page = NEW_PAGE;
    webex_client webex;
    CHECK(webex_client_new(init, &webex) == WEBEX_STATUS_OK);
    /* "The event subscription must happen before making the register() call." */
    CHECK(webex_client_subscribe(webex, on_line_event, &page, released, NULL) == WEBEX_STATUS_OK);

    /* const callingClient = calling.callingClient; const lines = callingClient.getLines(); */
    webex_calling calling;
    CHECK(webex_calling_new(webex, NULL, &calling, NULL) == WEBEX_STATUS_OK);
    wait_for(&page, &page.seen[WEBEX_EVENT_KIND_COMPLETED], 1);
    size_t count;
    CHECK(webex_calling_line_count(calling, &count) == WEBEX_STATUS_OK);
    CHECK(count == 1); /* "a single line at the moment" */
    webex_line line;
    CHECK(webex_calling_line(calling, 0, &line) == WEBEX_STATUS_OK);
    check_lookup(calling, line);
    check_properties(line, "inactive");

    /* line.register(), and the error event: "Try to re-connect and/or show error to end user". */
    CHECK(webex_line_register(line) == WEBEX_STATUS_OK);
    wait_for(&page, &page.seen[WEBEX_EVENT_KIND_LINE_ERROR], 1);
    CHECK(webex_line_register(line) == WEBEX_STATUS_OK);
    wait_for(&page, &page.seen[WEBEX_EVENT_KIND_LINE_REGISTERED], 1);
    CHECK(page.seen[WEBEX_EVENT_KIND_LINE_CONNECTING] == 2);
    check_properties(line, "active");

    /* line.deregister(); */
    CHECK(webex_line_deregister(line) == WEBEX_STATUS_OK);
    wait_for(&page, &page.seen[WEBEX_EVENT_KIND_LINE_UNREGISTERED], 1);
    check_properties(line, "inactive");

    CHECK(webex_client_shutdown(webex, PATIENCE_S * 1000) == WEBEX_STATUS_OK);
    CHECK(webex_client_free(webex) == WEBEX_STATUS_OK);
    wait_for(&page, &page.released, 1);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    setvbuf(stdout, NULL, _IOLBF, 0); /* each event when it happens, into a pipe too */
    webex_client_options init = {
        .struct_size = sizeof init,
        .access_token = getenv("WEBEX_ACCESS_TOKEN"),
        .cloud_origin = argv[1],
        .ca_file = argv[2],
    };
    meetings_page(&init);
    calling_page(&init);
    return 0;
}
