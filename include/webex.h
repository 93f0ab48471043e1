/*
 * The Webex SDK for C: registers Meetings devices and Calling lines.
 *
 * How to use it, what may be freed when, and which thread calls what: docs/ffi.md.
 * Made from the source of webex-ffi by `cargo xtask header`; edit that, not this file.
 */

#ifndef WEBEX_H
#define WEBEX_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header; `webex_version` tells that of the library. */
#define WEBEX_VERSION "0.1.0"
/** Changes when something of this header changes its meaning. */
#define WEBEX_VERSION_MAJOR 0
/** Grows when something is added. */
#define WEBEX_VERSION_MINOR 1
/** Grows with each release that changes neither. */
#define WEBEX_VERSION_PATCH 0

/*
 * Whether a pointer may be NULL, for compilers that check it and for Swift. To the library NULL
 * where it may not be is no crash, but a status.
 */
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnullability-extension"
#pragma clang diagnostic ignored "-Wfixed-enum-extension"
#define WEBEX_NONNULL _Nonnull
#define WEBEX_NULLABLE _Nullable
#else
#define WEBEX_NONNULL
#define WEBEX_NULLABLE
#endif

/* An enum of 32 bits on every compiler, whose numbers may grow. */
#if defined(__clang__)
#define WEBEX_ENUM(name)                                                                           \
    enum __attribute__((enum_extensibility(open))) name : int32_t;                                 \
    typedef enum name name;                                                                        \
    enum __attribute__((enum_extensibility(open))) name : int32_t
#elif defined(__cplusplus) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
#define WEBEX_ENUM(name)                                                                           \
    enum name : int32_t;                                                                           \
    typedef enum name name;                                                                        \
    enum name : int32_t
#else
#define WEBEX_ENUM(name)                                                                           \
    typedef int32_t name;                                                                          \
    enum
#endif

/**
 * No time limit.
 */
#define WEBEX_FOREVER 4294967295

/**
 * Flag of `webex_client_options`: accept any certificate, so that anyone on the network path can
 * read the token. For a sandbox on this machine only; refused for any other host, and for the
 * Webex cloud.
 */
#define WEBEX_CLIENT_INSECURE 1

/**
 * Flag of `webex_client_options`: allow `WEBEX_CLIENT_INSECURE`, and a `cloud_origin` without TLS,
 * also for hosts other than this machine. Anyone on the network path can then read the token.
 */
#define WEBEX_CLIENT_INSECURE_ANYWHERE 2

/**
 * Flag of `webex_client_options`: the FedRAMP cloud instead of the commercial one; not together
 * with `cloud_origin`.
 */
#define WEBEX_CLIENT_FEDRAMP 4

/**
 * The result of a call or an operation. Zero is success.
 *
 * Numbers are never reused; later versions add some, so handle unknown ones as failures. Below 16
 * the program used this interface wrongly or the SDK is broken; from 16 on the program can react
 * to what happened.
 */
WEBEX_ENUM(webex_status) {
    /**
     * Success.
     */
    WEBEX_STATUS_OK = 0,
    /**
     * The handle is invalid, was freed, or is of another kind.
     */
    WEBEX_STATUS_INVALID_HANDLE = 1,
    /**
     * An argument is NULL where it must not be, not UTF-8, out of range, or of a version that this
     * library does not support.
     */
    WEBEX_STATUS_INVALID_ARGUMENT = 2,
    /**
     * The SDK failed internally. This is a bug; the object may no longer be usable.
     */
    WEBEX_STATUS_PANIC = 3,
    /**
     * The operating system refused something the SDK needs, such as a thread; or the failure is of
     * a kind without a number in this version. See the message.
     */
    WEBEX_STATUS_INTERNAL = 4,
    /**
     * The service does not accept the token, and there is no other. Sign in again.
     */
    WEBEX_STATUS_UNAUTHORIZED = 16,
    /**
     * The user may not do this. Retrying does not help; an administrator might.
     */
    WEBEX_STATUS_FORBIDDEN = 17,
    /**
     * The requested object does not exist, or no longer does.
     */
    WEBEX_STATUS_NOT_FOUND = 18,
    /**
     * Too many requests. Wait; the JSON of the event has `retryAfterMs` if the service gave a
     * time.
     */
    WEBEX_STATUS_RATE_LIMITED = 19,
    /**
     * The service could not be reached. Retrying helps once the network is back.
     */
    WEBEX_STATUS_NETWORK = 20,
    /**
     * It took longer than allowed.
     */
    WEBEX_STATUS_TIMEOUT = 21,
    /**
     * The service failed. Retrying later helps.
     */
    WEBEX_STATUS_SERVER = 22,
    /**
     * The service rejected the request.
     */
    WEBEX_STATUS_REJECTED = 23,
    /**
     * The program cancelled the operation, or freed its object.
     */
    WEBEX_STATUS_CANCELLED = 24,
    /**
     * Not possible in the present state.
     */
    WEBEX_STATUS_INVALID_STATE = 25,
    /**
     * The service sent something that does not follow the protocol.
     */
    WEBEX_STATUS_PROTOCOL = 26,
    /**
     * The options are wrong.
     */
    WEBEX_STATUS_CONFIGURATION = 27,
    /**
     * The service may not serve the user where the user is, for legal reasons. The user has been
     * signed out.
     */
    WEBEX_STATUS_EMBARGOED = 28,
    /**
     * The certificate of the service is not trusted, usually because of a proxy that inspects TLS.
     * Trust its root with `ca_file` or `ca_pem`; retrying does not help.
     */
    WEBEX_STATUS_UNTRUSTED = 29,
    /**
     * The store of tokens is damaged, or cannot be read or written.
     */
    WEBEX_STATUS_STORE = 30,
    /**
     * The authorization server refused the application itself, its client secret for example. The
     * user's sign-in is not at fault.
     */
    WEBEX_STATUS_CLIENT_REFUSED = 31,
    /**
     * The user has the maximum number of calling devices.
     */
    WEBEX_STATUS_DEVICE_LIMIT = 32,
    /**
     * This machine has no network. Retrying helps once it has one.
     */
    WEBEX_STATUS_NO_NETWORK = 33,
};

/**
 * The kind of an event. Later versions add numbers: ignore unknown ones.
 */
WEBEX_ENUM(webex_event_kind) {
    /**
     * An asynchronous call has completed; `request_id` is its id, `status` its result. Never dropped.
     */
    WEBEX_EVENT_KIND_COMPLETED = 1,
    /**
     * Events were dropped because they were not read in time. JSON: `{"lost": number}`. Read the
     * states again.
     */
    WEBEX_EVENT_KIND_LOST = 2,
    /**
     * An event without a number in this version; see its name.
     */
    WEBEX_EVENT_KIND_OTHER = 3,
    /**
     * `meetings:ready`: the device can be registered.
     */
    WEBEX_EVENT_KIND_MEETINGS_READY = 16,
    /**
     * `meetings:registered`: the device is registered and events arrive.
     */
    WEBEX_EVENT_KIND_MEETINGS_REGISTERED = 17,
    /**
     * `meetings:unregistered`: the device is unregistered.
     */
    WEBEX_EVENT_KIND_MEETINGS_UNREGISTERED = 18,
    /**
     * `network:disconnected`: the event socket is gone; it is being reopened.
     */
    WEBEX_EVENT_KIND_NETWORK_DISCONNECTED = 19,
    /**
     * `network:connected`: the event socket is back.
     */
    WEBEX_EVENT_KIND_NETWORK_CONNECTED = 20,
    /**
     * `meetings:step`: a step of the registration has ended. JSON: `step`, its documented key, and
     * `succeeded`; the registration succeeds without the optional steps.
     */
    WEBEX_EVENT_KIND_MEETINGS_STEP = 21,
    /**
     * `meetings:failed`: the device or the event socket was refused, so that no events arrive.
     * JSON: `kind`, `message`, `willRetry`, and if known `httpStatus`, `trackingId`,
     * `retryAfterMs`.
     */
    WEBEX_EVENT_KIND_MEETINGS_FAILED = 22,
    /**
     * `meetings:retrying`: several attempts to get device and event socket, or the service
     * catalog, have failed, and they go on. JSON: as for `meetings:failed`.
     */
    WEBEX_EVENT_KIND_MEETINGS_RETRYING = 23,
    /**
     * `connecting`: registration of the line has begun. JSON: `{"reason": "requested" | "retry" |
     * "new_token"}`.
     */
    WEBEX_EVENT_KIND_LINE_CONNECTING = 32,
    /**
     * `registered`: the line is registered. JSON: the properties of the line.
     */
    WEBEX_EVENT_KIND_LINE_REGISTERED = 33,
    /**
     * `unregistered`: the line is no longer registered. JSON: `{"reason": "deleted" |
     * "already_gone" | "not_reachable" | "lost" | "superseded" | "down" | "moved" | "refused"}`,
     * `willRetry`: whether the line registers again by itself, and if known `retryInMs`; `server`
     * if one had the line, `error` as for the event `error` if there is one.
     */
    WEBEX_EVENT_KIND_LINE_UNREGISTERED = 34,
    /**
     * `error`: registration has failed, or was lost for good. JSON: `status`, `type` and `msg` as
     * documented for line errors, `kind`, and `willRetry`: whether the line goes on by itself; if
     * known `retryInMs`, `server`, `httpStatus`, `mobiusCode`, `trackingId`, `retryAfterMs`.
     */
    WEBEX_EVENT_KIND_LINE_ERROR = 35,
    /**
     * `reconnecting`: a keepalive was not answered. JSON: `missed`, and `of`, how many may be
     * missed, `server`, and `error` as for the event `error`.
     */
    WEBEX_EVENT_KIND_LINE_RECONNECTING = 36,
    /**
     * `reconnected`: keepalives are answered again. JSON: `server`.
     */
    WEBEX_EVENT_KIND_LINE_RECONNECTED = 37,
    /**
     * `server_failed`: one server did not accept the line; the next one is tried. JSON: `server`,
     * and `error` as for the event `error`.
     */
    WEBEX_EVENT_KIND_LINE_SERVER_FAILED = 38,
    /**
     * `keepalive_missed`: as `reconnecting`, and also for the keepalive that loses the registration.
     */
    WEBEX_EVENT_KIND_LINE_KEEPALIVE_MISSED = 39,
    /**
     * `callingClient:error`: the user's region, or its calling servers, could not be found out.
     * JSON: `message`, `type`, `status` and `context`, and as for the event `error` `kind`,
     * `httpStatus`, `trackingId`.
     */
    WEBEX_EVENT_KIND_CALLING_ERROR = 40,
    /**
     * `changed`: a property of a registered line has changed, such as the phone number, which may
     * arrive after `registered`. JSON: the properties of the line.
     */
    WEBEX_EVENT_KIND_LINE_CHANGED = 41,
    /**
     * `callingClient:retrying`: several attempts to open the event socket have failed, and they go
     * on. Lines stay registered, but their calls are not announced. JSON: `kind`, `message`,
     * `willRetry`; where known `httpStatus`, `retryAfterMs`, `trackingId`.
     */
    WEBEX_EVENT_KIND_CALLING_RETRYING = 42,
    /**
     * `callingClient:failed`: the event socket was refused for good, and no events arrive. JSON: as
     * for `callingClient:retrying`.
     */
    WEBEX_EVENT_KIND_CALLING_FAILED = 43,
    /**
     * `callingClient:connected`: events arrive again.
     */
    WEBEX_EVENT_KIND_CALLING_CONNECTED = 44,
};

/**
 * Where an event comes from. Later versions add numbers.
 */
WEBEX_ENUM(webex_source) {
    /**
     * The client itself.
     */
    WEBEX_SOURCE_CLIENT = 1,
    /**
     * The client's Meetings device.
     */
    WEBEX_SOURCE_MEETINGS = 2,
    /**
     * A calling object; `object` is its handle.
     */
    WEBEX_SOURCE_CALLING = 3,
    /**
     * A line; `object` is its handle.
     */
    WEBEX_SOURCE_LINE = 4,
};

/**
 * The state of the Meetings device. Later versions add numbers.
 */
WEBEX_ENUM(webex_meetings_phase) {
    /**
     * Not registered.
     */
    WEBEX_MEETINGS_PHASE_UNREGISTERED = 0,
    /**
     * Being registered.
     */
    WEBEX_MEETINGS_PHASE_REGISTERING = 1,
    /**
     * Registered: events arrive.
     */
    WEBEX_MEETINGS_PHASE_REGISTERED = 2,
    /**
     * Being unregistered.
     */
    WEBEX_MEETINGS_PHASE_UNREGISTERING = 3,
    /**
     * A state without a number in this version.
     */
    WEBEX_MEETINGS_PHASE_OTHER = 4,
    /**
     * Unregistered, but the service did not confirm that the device is gone: no events arrive.
     * Unregister again, or register.
     */
    WEBEX_MEETINGS_PHASE_UNCONFIRMED = 5,
    /**
     * The event socket was refused for good: no events arrive. Register again, or unregister.
     */
    WEBEX_MEETINGS_PHASE_FAILED = 6,
};

/**
 * The state of a line's registration. Later versions add numbers.
 */
WEBEX_ENUM(webex_line_phase) {
    /**
     * Not registered, and not wanted.
     */
    WEBEX_LINE_PHASE_IDLE = 0,
    /**
     * A request to a server is in flight.
     */
    WEBEX_LINE_PHASE_CONNECTING = 1,
    /**
     * Waiting before servers are tried again.
     */
    WEBEX_LINE_PHASE_WAITING = 2,
    /**
     * Registered.
     */
    WEBEX_LINE_PHASE_REGISTERED = 3,
    /**
     * Giving up the registration.
     */
    WEBEX_LINE_PHASE_DEREGISTERING = 4,
    /**
     * Given up after a final error; `webex_line_register` tries again.
     */
    WEBEX_LINE_PHASE_FAILED = 5,
    /**
     * A state without a number in this version.
     */
    WEBEX_LINE_PHASE_OTHER = 6,
};

/**
 * The documented status of a line.
 */
WEBEX_ENUM(webex_line_activity) {
    /**
     * Not registered; the initial status.
     */
    WEBEX_LINE_ACTIVITY_INACTIVE = 0,
    /**
     * Registered.
     */
    WEBEX_LINE_ACTIVITY_ACTIVE = 1,
};

/**
 * Which calling service a user has.
 */
WEBEX_ENUM(webex_calling_service) {
    /**
     * Webex Calling.
     */
    WEBEX_CALLING_SERVICE_CALLING = 0,
    /**
     * Webex Contact Center; needs a domain.
     */
    WEBEX_CALLING_SERVICE_CONTACT_CENTER = 1,
    /**
     * Calling as a guest.
     */
    WEBEX_CALLING_SERVICE_GUEST_CALLING = 2,
};

/**
 * Options of a client. Set `struct_size`, and leave at zero what you do not need. The texts are
 * copied.
 */
typedef struct webex_client_options {
    /**
     * Size of the struct in bytes: `sizeof(webex_client_options)`.
     */
    uint32_t struct_size;
    /**
     * Any of `WEBEX_CLIENT_FEDRAMP`, `WEBEX_CLIENT_INSECURE` and
     * `WEBEX_CLIENT_INSECURE_ANYWHERE`, or 0.
     */
    uint32_t flags;
    /**
     * The user's access token, with or without `Bearer`. A secret: it appears in no event, message
     * or log. Required.
     */
    const char *WEBEX_NONNULL access_token;
    /**
     * A cloud that serves everything from one origin, such as `https://127.0.0.1:8443`: the
     * sandbox. NULL for the Webex cloud.
     */
    const char *WEBEX_NULLABLE cloud_origin;
    /**
     * Path of a PEM file of root certificates to trust in addition to the operating system's, or
     * NULL. Read once, by `webex_client_new`.
     */
    const char *WEBEX_NULLABLE ca_file;
    /**
     * Root certificates to trust, as PEM text, or NULL: for programs whose assets have no path.
     */
    const char *WEBEX_NULLABLE ca_pem;
    /**
     * The name that administrators see for the user's device; NULL for `webex-native`.
     */
    const char *WEBEX_NULLABLE device_name;
} webex_client_options;

/**
 * Handle of a client. 0 is none.
 */
typedef uint64_t webex_client;

/**
 * An event. Everything in it is borrowed: copy what you need later.
 *
 * An event passed to a callback lives until the callback returns. `struct_size` is then the size
 * of the library's version of the struct: read a field of a later version only when it is within
 * that size.
 */
typedef struct webex_event {
    /**
     * Size of the struct in bytes.
     */
    uint32_t struct_size;
    /**
     * Its kind: one of `webex_event_kind`.
     */
    webex_event_kind kind;
    /**
     * Its source: one of `webex_source`.
     */
    webex_source source;
    /**
     * The result, for events that end something; the failure, for events that report one; otherwise
     * `WEBEX_STATUS_OK`.
     */
    webex_status status;
    /**
     * The asynchronous call that has completed; 0 for other events.
     */
    uint64_t request_id;
    /**
     * The client.
     */
    webex_client client;
    /**
     * The handle of the line or calling object; otherwise that of the client.
     */
    uint64_t object;
    /**
     * The documented name of the event, such as `meetings:registered`; `completed` for the
     * completion of an asynchronous call. Never NULL.
     */
    const char *WEBEX_NONNULL name;
    /**
     * The error message, in English, for a log; NULL unless `status` is a failure.
     */
    const char *WEBEX_NULLABLE message;
    /**
     * The details: a JSON object, NUL-terminated UTF-8, `{}` when there are none. A failed call
     * has `kind` and `message` in it, and if known `trackingId` and `retryAfterMs`. Never NULL.
     */
    const char *WEBEX_NONNULL json;
    /**
     * Length of `json` in bytes, without the NUL.
     */
    size_t json_len;
} webex_event;

/**
 * Gets the events of a client, one after the other. `event` is borrowed for the call. It may call
 * any function, including those that free the client or the subscription. It runs on a thread of
 * the library, which it may block. It must not throw an exception.
 */
typedef void (*webex_event_callback)(const struct webex_event *WEBEX_NONNULL event,
                                     void *WEBEX_NULLABLE user_data);

/**
 * Called once with the `user_data` of a subscription, after its last callback.
 */
typedef void (*webex_free_user_data)(void *WEBEX_NULLABLE user_data);

/**
 * Handle of a subscription. 0 is none.
 */
typedef uint64_t webex_subscription;

/**
 * How to use calling. Set `struct_size`, and leave at zero what you do not need. The texts are
 * copied.
 */
typedef struct webex_calling_options {
    /**
     * Size of the struct in bytes: `sizeof(webex_calling_options)`.
     */
    uint32_t struct_size;
    /**
     * One of `webex_calling_service`.
     */
    int32_t service;
    /**
     * Domain of the service, such as `rtw.prod-us.rtmsprod.net`, or NULL. Contact Center needs it.
     */
    const char *WEBEX_NULLABLE service_domain;
    /**
     * Region code, such as `US-EAST`, if it is known together with the country: saves the request
     * for it. Otherwise NULL.
     */
    const char *WEBEX_NULLABLE region;
    /**
     * Country code, such as `US`, together with the region; otherwise NULL.
     */
    const char *WEBEX_NULLABLE country;
} webex_calling_options;

/**
 * Handle of a calling object. 0 is none.
 */
typedef uint64_t webex_calling;

/**
 * Handle of a line. 0 is none. It ends with its calling object; there is nothing to free.
 */
typedef uint64_t webex_line;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library, such as `0.1.0`. Compare it with `WEBEX_VERSION` to check that the
 * header has the same version. Never NULL; lives as long as the library.
 */
const char *WEBEX_NONNULL webex_version(void);

/**
 * The stable lower-case name of a status, such as `invalid_handle`; `unknown` for any other
 * number. Never NULL; the text lives as long as the library.
 */
const char *WEBEX_NONNULL webex_status_name(int32_t status);

/**
 * The status of the last failed call on this thread; 0 when none has failed. A successful call
 * does not change it.
 */
int32_t webex_last_error_status(void);

/**
 * The message of the last failed call on this thread, in English, for a log; NULL when none has
 * failed. Holds no secret. Lives until the next failed call on this thread.
 */
const char *WEBEX_NULLABLE webex_last_error_message(void);

/**
 * The tracking id to quote to Webex support about the last failed call on this thread; NULL when
 * it has none. Lives until the next failed call on this thread.
 */
const char *WEBEX_NULLABLE webex_last_error_tracking_id(void);

/**
 * Creates a client of one user, and returns its handle. Does no network I/O.
 *
 * Free it with `webex_client_free`.
 */
webex_status webex_client_new(const struct webex_client_options *WEBEX_NONNULL options,
                              webex_client *WEBEX_NONNULL client);

/**
 * Frees a client and everything that belongs to it: calling objects, lines, subscriptions.
 *
 * Returns at once, even with calls in progress, which are dropped without an event. May be called
 * from a callback. `free_user_data` reports when no more callbacks will run. What is still
 * registered is given up in the background, if the process lives long enough; call
 * `webex_client_shutdown` first to be sure.
 */
webex_status webex_client_free(webex_client client);

/**
 * Deregisters the lines, then the device, and waits for at most `timeout_ms` milliseconds
 * (`WEBEX_FOREVER`: without a limit). Calls in progress are cancelled first.
 *
 * Its events can be read when it returns. `WEBEX_STATUS_TIMEOUT` when it takes longer; it then
 * goes on in the background. Any other failure is the first of them; the remaining steps were
 * still tried. The client has to be freed afterwards in any case.
 */
webex_status webex_client_shutdown(webex_client client,
                                   uint32_t timeout_ms);

/**
 * Cancels an asynchronous call of this client. Its event follows, with `WEBEX_STATUS_CANCELLED`,
 * or with its result when it completes at the same moment.
 *
 * `WEBEX_STATUS_NOT_FOUND` when it has already completed.
 */
webex_status webex_client_cancel(webex_client client,
                                 uint64_t request_id);

/**
 * Calls `callback` with every event of the client: those of its Meetings device and lines, and the
 * completions of its asynchronous calls.
 *
 * Callbacks of one client run one after the other, on a thread of the library. The first
 * subscription also gets earlier events, so that none is missed.
 *
 * `free_user_data`, unless NULL, is called with `user_data` exactly once: after the last callback
 * has returned, or before this function returns when it fails. Use it to release what `user_data`
 * points to; it is the only sign that no callback is running.
 *
 * `subscription` gets the handle for `webex_unsubscribe`. It may be NULL: the subscription then
 * ends with the client.
 */
webex_status webex_client_subscribe(webex_client client,
                                    webex_event_callback WEBEX_NONNULL callback,
                                    void *WEBEX_NULLABLE user_data,
                                    webex_free_user_data WEBEX_NULLABLE free_user_data,
                                    webex_subscription *WEBEX_NULLABLE subscription);

/**
 * Ends a subscription. Returns at once; a callback that is running on another thread completes,
 * and `free_user_data` follows.
 */
webex_status webex_unsubscribe(webex_subscription subscription);

/**
 * Waits for the next event of a client, for at most `timeout_ms` milliseconds (0: not at all,
 * `WEBEX_FOREVER`: without a limit). For programs with their own loop; returns
 * `WEBEX_STATUS_INVALID_STATE` for a client with a subscription.
 *
 * Set `struct_size` of `event` before the call; afterwards it is the size written. The texts of
 * the event live until the next call of this function on this thread.
 *
 * `WEBEX_STATUS_TIMEOUT` when there was no event, `WEBEX_STATUS_CANCELLED` when the client was
 * freed in the meantime.
 */
webex_status webex_client_next_event(webex_client client,
                                     uint32_t timeout_ms,
                                     struct webex_event *WEBEX_NONNULL event);

/**
 * Begins to wait until the device can be registered. The event `meetings:ready` reports it,
 * followed by the completion of the call.
 *
 * `request_id`, here and elsewhere, gets the id of the call, which its event will carry. It is
 * written before the event can be delivered. It may be NULL.
 */
webex_status webex_meetings_ready(webex_client client,
                                  uint64_t *WEBEX_NULLABLE request_id);

/**
 * Begins to register the device: service catalog, device, event socket. The event
 * `meetings:registered` reports it, followed by the completion of the call. A device that is
 * already registered stays as it is, without that event.
 */
webex_status webex_meetings_register(webex_client client,
                                     uint64_t *WEBEX_NULLABLE request_id);

/**
 * Begins to unregister the device. The event `meetings:unregistered` reports it, followed by the
 * completion of the call. The device itself is deleted unless calling still needs it.
 */
webex_status webex_meetings_unregister(webex_client client,
                                       uint64_t *WEBEX_NULLABLE request_id);

/**
 * The current state of the device.
 */
webex_status webex_meetings_state(webex_client client,
                                  webex_meetings_phase *WEBEX_NONNULL phase);

/**
 * Creates a calling object of a client and begins to start it: brings up the user's device and
 * finds the calling servers. `calling` gets its handle at once; it has lines once the call has
 * completed successfully. `options` may be NULL.
 *
 * Free it with `webex_calling_free`, also when the start fails.
 */
webex_status webex_calling_new(webex_client client,
                               const struct webex_calling_options *WEBEX_NULLABLE options,
                               webex_calling *WEBEX_NONNULL calling,
                               uint64_t *WEBEX_NULLABLE request_id);

/**
 * Frees a calling object and its lines. Returns at once, also while it starts; the start is then
 * cancelled. Registered lines are given up in the background; call `webex_calling_deregister`
 * first to be sure.
 */
webex_status webex_calling_free(webex_calling calling);

/**
 * Begins to deregister all lines, and then gives up the user's device unless Meetings still needs
 * it. The calling object cannot be used afterwards: free it, and create a new one to register
 * again.
 */
webex_status webex_calling_deregister(webex_calling calling,
                                      uint64_t *WEBEX_NULLABLE request_id);

/**
 * How many lines a calling object has. `WEBEX_STATUS_INVALID_STATE` before it has started.
 */
webex_status webex_calling_line_count(webex_calling calling,
                                      size_t *WEBEX_NONNULL count);

/**
 * The handle of a line, by its index from 0. `WEBEX_STATUS_INVALID_STATE` before the calling
 * object has started, `WEBEX_STATUS_NOT_FOUND` when it has fewer lines.
 */
webex_status webex_calling_line(webex_calling calling,
                                size_t index,
                                webex_line *WEBEX_NONNULL line);

/**
 * The handle of a line, by the `lineId` in its events and in `webex_line_info`.
 * `WEBEX_STATUS_INVALID_STATE` before the calling object has started, `WEBEX_STATUS_NOT_FOUND`
 * when it has no such line.
 */
webex_status webex_calling_line_by_id(webex_calling calling,
                                      const char *WEBEX_NONNULL line_id,
                                      webex_line *WEBEX_NONNULL line);

/**
 * Begins to register a line, and keeps it registered until `webex_line_deregister`. Returns at
 * once; the events `registered` and `error` report the outcome. Does nothing when the line is
 * registered or being registered.
 */
webex_status webex_line_register(webex_line line);

/**
 * Begins to deregister a line, whatever its state: cancels what is in progress and gives up what
 * exists. Returns at once; the event `unregistered` reports the end.
 */
webex_status webex_line_deregister(webex_line line);

/**
 * The current state of a line's registration, in more detail than `webex_line_status`.
 */
webex_status webex_line_state(webex_line line,
                              webex_line_phase *WEBEX_NONNULL phase);

/**
 * Whether a line is registered, as documented.
 */
webex_status webex_line_status(webex_line line,
                               webex_line_activity *WEBEX_NONNULL status);

/**
 * The properties of a line as JSON, with their documented names. `json` gets a text that has to be
 * freed with `webex_string_free`.
 */
webex_status webex_line_info(webex_line line,
                             char *WEBEX_NULLABLE *WEBEX_NONNULL json);

/**
 * Frees a text whose ownership a function of this library has passed on. NULL is allowed.
 */
void webex_string_free(char *WEBEX_NULLABLE text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#if defined(__clang__)
#pragma clang diagnostic pop
#endif

#endif  /* WEBEX_H */
