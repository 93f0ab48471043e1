//! Which events a listener wants, by name.

/// The events that a subscription wants, by the names of the reference client.
///
/// `event` means all events; `event:mobius`, `mobius` or `mobius.` those of a namespace;
/// `event:mobius.call` or `mobius.call` that event only. Names are case-sensitive.
///
/// ```
/// # use webex_core::mercury::Topic;
/// assert!(Topic::new("event:conversation.activity").includes("conversation.activity"));
/// assert!(!Topic::new("event:conversation.activity").includes("conversation.highlight"));
/// assert!(Topic::new("conversation.").includes("conversation.activity"));
/// assert!(Topic::new("event").includes("mobius.call"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Everything,
    Namespace(Box<str>),
    Exact(Box<str>),
}

impl Topic {
    /// The topic of this name.
    pub fn new(name: &str) -> Self {
        let name = if name == "event" { "" } else { name.strip_prefix("event:").unwrap_or(name) };
        Self(match name.strip_suffix('.').unwrap_or(name) {
            "" => Pattern::Everything,
            exact if exact.contains('.') => Pattern::Exact(exact.into()),
            namespace => Pattern::Namespace(namespace.into()),
        })
    }

    /// Whether an event of this type belongs to the topic.
    pub fn includes(&self, event_type: &str) -> bool {
        match &self.0 {
            Pattern::Everything => true,
            Pattern::Exact(exact) => **exact == *event_type,
            Pattern::Namespace(namespace) => event_type.split('.').next() == Some(namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_exact_names_or_namespaces() {
        for (name, included, excluded) in [
            ("event", "a.b", None),
            ("event:", "", None),
            ("event:mobius", "mobius.call", Some("mobiusx.call")),
            ("mobius.", "mobius.media", Some("locus.call")),
            ("event:mobius.call", "mobius.call", Some("mobius.callconnected")),
            ("ActiveClusterStatusEvent", "ActiveClusterStatusEvent", Some("a.b")),
            ("eventful", "eventful.day", Some("a.b")),
        ] {
            let topic = Topic::new(name);
            assert!(topic.includes(included), "{name}: {included}");
            assert!(excluded.is_none_or(|it| !topic.includes(it)), "{name}: {excluded:?}");
        }
    }
}
