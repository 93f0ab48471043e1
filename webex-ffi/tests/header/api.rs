//! Parses the declarations of a generated C header: enums, structs, aliases, callback types and
//! functions.

use std::collections::BTreeMap;

/// The declarations of a header. Types are in one spelling: `const char *`, no `struct`, no annotations.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Api {
    pub(crate) enums: BTreeMap<String, Vec<(String, String)>>,
    pub(crate) structs: BTreeMap<String, Vec<Declaration>>,
    /// Other names of types, callback types included.
    pub(crate) aliases: BTreeMap<String, String>,
    pub(crate) functions: BTreeMap<String, Function>,
}

/// A field or parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declaration {
    pub(crate) name: String,
    pub(crate) kind: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) result: String,
    pub(crate) parameters: Vec<Declaration>,
}

impl Api {
    /// Reads a header.
    pub(crate) fn read(text: &str) -> Self {
        let mut api = Self::default();
        for statement in statements(&code(text)) {
            api.add(&statement);
        }
        api
    }

    fn add(&mut self, statement: &str) {
        let statement = statement.strip_prefix("typedef enum").map_or(statement, str::trim);
        if let Some((head, body)) = statement.split_once('{') {
            let body = body.rsplit_once('}').expect("braces in pairs").0;
            let last_word = |text: &str| words(text).pop().expect("a name");
            if head.contains("struct") {
                let fields = body.split(';').filter(|field| !field.trim().is_empty());
                self.structs.insert(last_word(head), fields.map(declaration).collect());
            } else {
                let values = body.split(',').filter_map(|value| value.split_once('='));
                let values = values.map(|(name, value)| (last_word(name), value.trim().to_owned()));
                self.enums.insert(last_word(head), values.collect());
            }
            return;
        }
        if let Some(alias) = statement.strip_prefix("typedef ") {
            let Declaration { name, kind } = declaration(alias);
            self.aliases.insert(name, kind);
            return;
        }
        let (head, parameters) = statement.split_once('(').expect("a function");
        let Declaration { name, kind: result } = declaration(head);
        let parameters = parameters.rsplit_once(')').expect("parentheses in pairs").0;
        let parameters = split(parameters).iter().map(|one| declaration(one)).collect();
        self.functions.insert(name, Function { result, parameters });
    }

    /// Replaces aliases by the types that they stand for.
    pub(crate) fn resolve_aliases(&mut self) {
        let aliases = std::mem::take(&mut self.aliases);
        self.rename_types(|name| aliases.get(name).map(String::as_str));
    }

    /// Renames types wherever they are used.
    pub(crate) fn rename_types<'a>(&mut self, new_name: impl Fn(&str) -> Option<&'a str>) {
        let rename = |kind: &mut String| {
            let mut renamed = String::new();
            for token in tokens(kind) {
                let is_name = token.starts_with(|c: char| c.is_alphabetic());
                renamed += new_name(&token).filter(|_| is_name).unwrap_or(&token);
                renamed.push(' ');
            }
            *kind = spelling(&tokens(&renamed));
        };
        for function in self.functions.values_mut() {
            rename(&mut function.result);
            function.parameters.iter_mut().for_each(|one| rename(&mut one.kind));
        }
        self.structs.values_mut().flatten().for_each(|field| rename(&mut field.kind));
        self.aliases.values_mut().for_each(rename);
    }
}

/// The text without comments, preprocessor lines, annotations and the C++ bracket.
fn code(text: &str) -> String {
    let mut code = String::new();
    // The ends of `extern "C" {`, as cbindgen and as safer-ffi write them.
    let text = text.replace("}  // extern \"C\"", "").replace("} /* extern \\\"C\\\" */", "");
    let mut rest = text.as_str();
    while let Some((before, comment)) = rest.split_once("/*") {
        code += before;
        rest = comment.split_once("*/").expect("comments end").1;
    }
    code += rest;
    let mut continued = false;
    let lines = code.lines().filter(|line| {
        let directive = continued || line.starts_with('#');
        continued = directive && line.ends_with('\\');
        !directive && line.trim() != "extern \"C\" {"
    });
    let code: String = lines.flat_map(|line| [line, "\n"]).collect();
    code.replace("WEBEX_NONNULL", " ")
        .replace("WEBEX_NULLABLE", " ")
        .replace("WEBEX_ENUM(", "enum ")
        .replace(") {", " {")
}

/// The statements of a header, which end with `;` outside of braces.
fn statements(code: &str) -> Vec<String> {
    let (mut statements, mut statement, mut depth) = (Vec::new(), String::new(), 0);
    for c in code.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ';' if depth == 0 => {
                let ended = std::mem::take(&mut statement).trim().to_owned();
                statements.extend((!ended.is_empty()).then_some(ended));
                continue;
            }
            _ => {}
        }
        statement.push(c);
    }
    assert_eq!(statement.trim(), "", "something after the last statement");
    statements
}

/// Parameters, split at commas that are not in parentheses; `void` means none.
fn split(parameters: &str) -> Vec<String> {
    let (mut all, mut depth) = (vec![String::new()], 0);
    for c in parameters.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                all.push(String::new());
                continue;
            }
            _ => {}
        }
        all.last_mut().expect("one at least").push(c);
    }
    all.retain(|one| !matches!(one.trim(), "" | "void"));
    all
}

/// A type and the name that is declared with it; for a callback, the name inside the parentheses.
fn declaration(text: &str) -> Declaration {
    if let Some((result, rest)) = text.split_once("(*") {
        let (name, parameters) = rest.split_once(")(").expect("a callback's parameters");
        let parameters = parameters.rsplit_once(')').expect("parentheses in pairs").0;
        let kinds: Vec<String> = split(parameters)
            .iter()
            .map(|one| {
                let named = one.contains('*') && !one.trim_end().ends_with('*');
                if named { declaration(one).kind } else { spelling(&tokens(one)) }
            })
            .collect();
        let kind = format!("{} (*) ({})", spelling(&tokens(result)), kinds.join(", "));
        return Declaration { name: name.trim().to_owned(), kind };
    }
    let mut tokens = tokens(text);
    let name = tokens.pop().expect("a name");
    Declaration { name, kind: spelling(&tokens) }
}

/// One spelling of a type: `const` first, and a space before the stars.
fn spelling(tokens: &[String]) -> String {
    let mut tokens: Vec<&str> =
        tokens.iter().map(String::as_str).filter(|token| *token != "struct").collect();
    if tokens.contains(&"(") {
        return tokens.join(" ").replace("( ", "(").replace(" )", ")").replace(" ,", ",");
    }
    let stars = tokens.iter().position(|token| *token == "*").unwrap_or(tokens.len());
    tokens[..stars].sort_by_key(|token| *token != "const");
    let (name, stars) = tokens.split_at(stars);
    format!("{} {}", name.join(" "), stars.concat()).trim().to_owned()
}

fn words(text: &str) -> Vec<String> {
    tokens(text)
        .into_iter()
        .filter(|token| token.starts_with(|c: char| c.is_alphabetic()))
        .collect()
}

/// Names, and every other character by itself.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut in_name = false;
    for c in text.chars() {
        let name = c.is_alphanumeric() || c == '_';
        if name && in_name {
            tokens.last_mut().expect("a name has begun").push(c);
        } else if !c.is_whitespace() {
            tokens.push(c.to_string());
        }
        in_name = name;
    }
    tokens
}

#[test]
fn reads_what_generators_write() {
    let api = Api::read(
        "#define X \\\n  int x;\n/* a; comment */\n#ifdef D\ntypedef\n#endif\nenum E { E_A = 0, E_B = 2, }\n\
         ; typedef int32_t E_t;\ntypedef struct S {\n const char *WEBEX_NULLABLE a; T const * b;\n} S;\n\
         typedef void (*cb)(const struct S *s, void *data);\nWEBEX_ENUM(F) { F_A = 1, };\n\
         int32_t f (\n  S const * s, void (*done)(S const *, void *));\nvoid g(void);",
    );
    assert_eq!(api.enums["E"], [("E_A".into(), "0".into()), ("E_B".into(), "2".into())]);
    assert_eq!(api.enums["F"].len(), 1);
    assert_eq!(api.aliases["E_t"], "int32_t");
    assert_eq!(api.aliases["cb"], "void (*) (const S *, void *)");
    assert_eq!(api.structs["S"][1], Declaration { name: "b".into(), kind: "const T *".into() });
    assert_eq!(api.functions["f"].parameters[1].kind, api.aliases["cb"]);
    assert_eq!(api.functions["f"].parameters[1].name, "done");
    assert!(api.functions["g"].parameters.is_empty());
}
