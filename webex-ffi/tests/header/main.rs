//! The header and the list of the ABI match the source; `cargo xtask header` rewrites them.
//!
//! Two independent sources confirm that the header describes the library: safer-ffi, which knows
//! the types as the compiler does, and the symbols of the built shared library.

mod api;
mod generate;

#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    process::Command,
};

use safer_ffi::headers::Language;
use webex_ffi as _; // its exported functions are what safer-ffi describes

use self::{
    api::{Api, Function},
    generate::{NAMES, header},
    support::root,
};

/// When set, the committed files are rewritten instead of compared.
const UPDATE: &str = "WEBEX_UPDATE_HEADER";

#[test]
fn the_committed_header_is_up_to_date() {
    compare("include/webex.h", &header());
}

#[test]
fn the_committed_list_of_the_abi_is_up_to_date() {
    compare("include/webex.abi", &listing(&Api::read(&header())));
}

#[test]
fn safer_ffi_sees_the_same_boundary() {
    let mut ours = Api::read(&header());
    let mut bytes = Vec::new();
    let builder = safer_ffi::headers::builder().with_language(Language::C);
    builder.to_writer(&mut bytes).generate().expect("safer-ffi describes the boundary");
    let mut theirs = Api::read(&String::from_utf8(bytes).expect("safer-ffi writes UTF-8"));

    let c_names: BTreeMap<String, &str> =
        NAMES.iter().map(|(rust, c)| (format!("{rust}_t"), *c)).collect();
    // It writes the enums of signatures as integer aliases.
    theirs.aliases.clear();
    theirs.rename_types(|name| c_names.get(name).copied());
    ours.resolve_aliases();

    assert!(!ours.functions.is_empty());
    assert_eq!(theirs.functions, ours.functions);
    for (rust, c) in NAMES {
        assert_eq!(theirs.structs.get(*rust), ours.structs.get(*c), "{c}");
        // The calling service is in no signature, only its number.
        if *c == "webex_calling_service" {
            continue;
        }
        let numbers = |api: &Api, name: &str| -> Option<Vec<String>> {
            Some(api.enums.get(name)?.iter().map(|(_, number)| number.clone()).collect())
        };
        assert_eq!(numbers(&theirs, rust), numbers(&ours, c), "{c}");
    }
    assert!(!theirs.structs.is_empty() && !theirs.enums.is_empty());
}

#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    let mut nm = Command::new("nm");
    let output = nm.args(["-D", "--defined-only", "-P"]).arg(support::library()).output();
    let output = output.expect("nm, of binutils, is installed with the compiler");
    assert!(output.status.success(), "{output:?}");
    let symbols: BTreeSet<String> = String::from_utf8(output.stdout)
        .expect("nm writes text")
        .lines()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect();
    let declared: BTreeSet<String> = Api::read(&header()).functions.into_keys().collect();
    assert_eq!(symbols, declared);
}

#[test]
fn the_header_compiles_as_c_and_as_cpp_without_a_warning() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    fs::write(scratch.path().join("webex.h"), header()).expect("the header is written");
    for (compiler, standard, file) in [("cc", "c11", "use.c"), ("c++", "c++17", "use.cpp")] {
        // Included twice to test the include guard.
        let source = scratch.path().join(file);
        let twice = "#include \"webex.h\"\n#include \"webex.h\"\nint main(void) { return 0; }\n";
        fs::write(&source, twice).expect("the program is written");
        let output = Command::new(compiler)
            .args([&format!("-std={standard}"), "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
            .arg("-fsyntax-only")
            .arg(&source)
            .output()
            .expect("the compiler is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn everything_in_the_header_has_a_comment_and_the_prefix() {
    let header = header();
    let (mut before, mut declarations) = ("", 0);
    let (mut in_comment, mut in_braces) = (false, false);
    for line in header.lines() {
        in_comment |= line.trim_start().starts_with("/*");
        let begins = match line.strip_prefix("#define ") {
            // A constant; other macros only help to declare.
            Some(define) => define.ends_with(|c: char| c.is_ascii_digit() || c == '"'),
            // A field or enumerator; outside of braces it is the rest of a declaration.
            None if line.starts_with(' ') => in_braces,
            None => {
                !line.is_empty() && !line.starts_with(['#', '}']) && !line.starts_with("extern")
            }
        };
        if begins && !in_comment {
            assert!(before.ends_with("*/"), "no comment before: {line}");
            declarations += 1;
        }
        if !in_comment && !line.starts_with("extern") {
            in_braces = (in_braces || line.ends_with('{')) && !line.starts_with('}');
        }
        in_comment &= !line.ends_with("*/");
        before = line;
    }

    let api = Api::read(&header);
    let names = api.enums.keys().chain(api.structs.keys()).chain(api.aliases.keys());
    assert!(names.chain(api.functions.keys()).all(|name| name.starts_with("webex_")));
    let values = api.enums.values().flatten();
    let count = values.clone().count() + api.structs.values().flatten().count();
    assert!(declarations > count + api.functions.len(), "the check sees everything");
    assert!(values.map(|(name, _)| name).all(|name| name.starts_with("WEBEX_")));
}

#[test]
fn every_struct_can_grow() {
    for (name, fields) in Api::read(&header()).structs {
        let first = (fields[0].kind.as_str(), fields[0].name.as_str());
        assert_eq!(first, ("uint32_t", "struct_size"), "{name}");
    }
}

/// Compares a committed file with the expected text, or rewrites it.
fn compare(path: &str, expected: &str) {
    let file = root().join(path);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&file, expected).expect("the file is written");
        return;
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let differs = committed.lines().zip(expected.lines()).position(|(old, new)| old != new);
    let line = differs.unwrap_or(committed.lines().count().min(expected.lines().count())) + 1;
    assert!(committed == expected, "{path}:{line} is not what the source says: cargo xtask header");
}

/// The ABI in short: one line for each item that a compiled program depends on. A changed line
/// breaks such programs; a new line does not.
fn listing(api: &Api) -> String {
    let mut text = String::from(
        "# What a compiled program relies on, made from webex-ffi by `cargo xtask header`.\n\
         # Lines may be added, at the end of a struct too. To change or remove one breaks programs.\n",
    );
    for (name, kind) in &api.aliases {
        writeln!(text, "type {name} = {kind}").expect("a String takes everything");
    }
    for (name, values) in &api.enums {
        for (value, number) in values {
            writeln!(text, "enum {name} {value} = {number}").expect("a String takes everything");
        }
    }
    for (name, fields) in &api.structs {
        for (index, field) in fields.iter().enumerate() {
            writeln!(text, "struct {name} {index} {}: {}", field.name, field.kind)
                .expect("a String takes everything");
        }
    }
    for (name, Function { result, parameters }) in &api.functions {
        let kinds: Vec<&str> = parameters.iter().map(|one| one.kind.as_str()).collect();
        writeln!(text, "function {name}({}) -> {result}", kinds.join(", "))
            .expect("a String takes everything");
    }
    text
}
