//! Generates the header: cbindgen reads the source, and what it cannot express is added afterwards.
//!
//! 1. cbindgen writes every declaration from the text of `webex-ffi/src`.
//! 2. Its C form of an enum, an integer type beside an unrelated `enum` tag, becomes `WEBEX_ENUM`.
//! 3. It treats each raw pointer as nullable; those that may not be NULL are marked, except for
//!    the listed ones ([`NULLABLE`]).

use std::path::Path;

use cbindgen::{Builder, Config, DocumentationStyle, EnumConfig, Language, RenameRule, Style};

/// The Rust names of the header's items, and their names in C.
pub(crate) const NAMES: &[(&str, &str)] = &[
    ("Status", "webex_status"),
    ("EventKind", "webex_event_kind"),
    ("Source", "webex_source"),
    ("Event", "webex_event"),
    ("MeetingsPhase", "webex_meetings_phase"),
    ("CallingService", "webex_calling_service"),
    ("CallingOptions", "webex_calling_options"),
    ("LinePhase", "webex_line_phase"),
    ("LineActivity", "webex_line_activity"),
    ("ClientOptions", "webex_client_options"),
    ("ClientHandle", "webex_client"),
    ("SubscriptionHandle", "webex_subscription"),
    ("CallingHandle", "webex_calling"),
    ("LineHandle", "webex_line"),
    ("EventCallback", "webex_event_callback"),
    ("FreeUserData", "webex_free_user_data"),
];

/// Pointers that may be NULL: parameters and fields by `item.name`, results by the function's name.
const NULLABLE: &[&str] = &[
    "webex_last_error_message",
    "webex_last_error_tracking_id",
    "webex_event.message",
    "webex_event_callback.user_data",
    "webex_free_user_data.user_data",
    "webex_client_options.cloud_origin",
    "webex_client_options.ca_file",
    "webex_client_options.ca_pem",
    "webex_client_options.device_name",
    "webex_client_subscribe.user_data",
    "webex_client_subscribe.free_user_data",
    "webex_client_subscribe.subscription",
    "webex_meetings_ready.request_id",
    "webex_meetings_register.request_id",
    "webex_meetings_unregister.request_id",
    "webex_calling_options.service_domain",
    "webex_calling_options.region",
    "webex_calling_options.country",
    "webex_calling_new.options",
    "webex_calling_new.request_id",
    "webex_calling_deregister.request_id",
    "webex_string_free.text",
];

/// The modules with exported items, in reading order.
const SOURCES: &[&str] = &[
    "version.rs",
    "status.rs",
    "error.rs",
    "event.rs",
    "handle.rs",
    "outbox.rs",
    "client.rs",
    "meetings.rs",
    "calling.rs",
];

/// The text of `include/webex.h`.
pub(crate) fn header() -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let builder = Builder::new().with_config(config());
    let builder = SOURCES.iter().fold(builder, |builder, file| builder.with_src(source.join(file)));
    let mut bytes = Vec::new();
    builder.generate().expect("cbindgen reads the source").write(&mut bytes);
    let text = String::from_utf8(bytes).expect("cbindgen writes UTF-8");
    close_pragma(&mark_pointers(&use_fixed_enums(&text)))
}

fn config() -> Config {
    let mut config = Config {
        header: Some(BANNER.trim().to_owned()),
        include_guard: Some("WEBEX_H".to_owned()),
        no_includes: true, // the preamble has the two that are needed
        after_includes: Some(preamble()),
        language: Language::C,
        cpp_compat: true,
        style: Style::Both,
        usize_is_size_t: true,
        documentation_style: DocumentationStyle::Doxy,
        tab_width: 4,
        ..Config::default()
    };
    config.export.rename =
        NAMES.iter().map(|(rust, c)| ((*rust).to_owned(), (*c).to_owned())).collect();
    // It is in no signature: options take any number, and check it.
    config.export.include = vec!["CallingService".to_owned()];
    config.function.args = cbindgen::Layout::Vertical;
    config.enumeration = EnumConfig {
        rename_variants: RenameRule::QualifiedScreamingSnakeCase,
        ..EnumConfig::default()
    };
    config.pointer.nullable_attribute = Some("WEBEX_NULLABLE".to_owned());
    config
}

const BANNER: &str = "
/*
 * The Webex SDK for C: registers Meetings devices and Calling lines.
 *
 * How to use it, what may be freed when, and which thread calls what: docs/ffi.md.
 * Made from the source of webex-ffi by `cargo xtask header`; edit that, not this file.
 */";

/// Versions and the macros that the declarations use.
fn preamble() -> String {
    format!(
        r#"#include <stddef.h>
#include <stdint.h>

/** The version of this header; `webex_version` tells that of the library. */
#define WEBEX_VERSION "{version}"
/** Changes when something of this header changes its meaning. */
#define WEBEX_VERSION_MAJOR {major}
/** Grows when something is added. */
#define WEBEX_VERSION_MINOR {minor}
/** Grows with each release that changes neither. */
#define WEBEX_VERSION_PATCH {patch}

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
#endif"#,
        version = env!("CARGO_PKG_VERSION"),
        major = env!("CARGO_PKG_VERSION_MAJOR"),
        minor = env!("CARGO_PKG_VERSION_MINOR"),
        patch = env!("CARGO_PKG_VERSION_PATCH"),
    )
}

/// Replaces cbindgen's form of each enum.
fn use_fixed_enums(text: &str) -> String {
    const FIXED: &str = "defined(__cplusplus) || __STDC_VERSION__ >= 202311L";
    const TAIL: &str = "#ifndef __cplusplus\n#if __STDC_VERSION__ >= 202311L\n\
        typedef enum NAME NAME;\n#else\ntypedef int32_t NAME;\n\
        #endif // __STDC_VERSION__ >= 202311L\n#endif // __cplusplus\n";
    let mut text = text.to_owned();
    let enums: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("typedef int32_t ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    assert!(!enums.is_empty(), "cbindgen writes enums in another form than expected");
    for name in enums {
        let begin = format!("enum {name}\n#if {FIXED}\n  : int32_t\n#endif // {FIXED}\n {{");
        let end = TAIL.replace("NAME", &name);
        for form in [&begin, &end] {
            assert!(text.contains(form), "cbindgen writes `{name}` in another form than\n{form}");
        }
        text = text.replace(&begin, &format!("WEBEX_ENUM({name}) {{")).replace(&end, "");
    }
    text
}

/// Closes the pragma of the preamble inside the include guard.
fn close_pragma(text: &str) -> String {
    const GUARD_END: &str = "#endif  /* WEBEX_H */\n";
    assert!(text.ends_with(GUARD_END), "cbindgen ends the include guard in another form");
    let pop = "#if defined(__clang__)\n#pragma clang diagnostic pop\n#endif\n\n";
    text.replace(GUARD_END, &format!("{pop}{GUARD_END}"))
}

/// cbindgen's mark of a nullable pointer.
const NULLABLE_MARK: &str = "WEBEX_NULLABLE";

/// Callback types; their parameters are pointers although no `*` shows it.
const CALLBACKS: &[&str] = &["webex_event_callback", "webex_free_user_data"];

/// Marks the pointers that may not be NULL.
fn mark_pointers(text: &str) -> String {
    // The mark belongs to each parameter of a callback type, not to the type.
    let mut text = text.replace("(*WEBEX_NULLABLE webex_", "(*webex_");
    // Its parameters were aligned to the longer form.
    let shift = " ".repeat("WEBEX_NULLABLE ".len());
    text = text.replace(&format!("event,\n{shift}"), "event,\n");
    for callback in CALLBACKS {
        text = text.replace(&format!(" {callback} "), &format!(" {callback} {NULLABLE_MARK} "));
    }
    let mut unused = NULLABLE.to_vec();
    let mut item = String::new();
    let mut in_comment = false;
    let mut marked = String::new();
    for line in text.lines() {
        in_comment |= line.trim_start().starts_with("/*");
        if in_comment || line.starts_with('#') {
            marked += line;
        } else {
            item = declared(line).map_or(item, str::to_owned);
            // Marks one parameter or field at a time.
            marked.extend(line.split_inclusive(',').map(|part| mark(part, &item, &mut unused)));
        }
        in_comment &= !line.ends_with("*/");
        marked.push('\n');
    }
    assert!(unused.is_empty(), "no such pointers in the header: {unused:?}");
    marked
}

/// The function, struct or callback that a line begins to declare.
fn declared(line: &str) -> Option<&str> {
    if line.starts_with(' ') {
        return None;
    }
    if let Some(name) = line.strip_prefix("typedef struct ") {
        return name.strip_suffix(" {");
    }
    if let Some((_, callback)) = line.split_once("(*") {
        return Some(callback.split_once(')')?.0);
    }
    line.split_once('(')?.0.rsplit([' ', '*']).next()
}

/// Decides about the outermost pointer of a parameter, field or result, which is the last one. An
/// inner one, as in `char **`, is a result that the caller may have set to NULL before.
fn mark(part: &str, item: &str, unused: &mut Vec<&str>) -> String {
    let Some((before, after)) = part.rsplit_once(NULLABLE_MARK) else { return part.to_owned() };
    let name = after.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next();
    let name = name.expect("split gives one");
    let key = if name == item { name.to_owned() } else { format!("{item}.{name}") };
    if NULLABLE.contains(&key.as_str()) {
        unused.retain(|known| *known != key);
        return part.to_owned();
    }
    format!("{before}WEBEX_NONNULL{after}")
}
