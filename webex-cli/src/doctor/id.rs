//! The checks there are, and which needs which.

/// A check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Id {
    Proxy,
    Dns,
    Connection,
    Tls,
    Clock,
    Token,
    Catalog,
    Wdm,
    Mercury,
    Mobius,
    /// A calling server, counted from one.
    Primary(usize),
    Backup(usize),
    DeviceLimit,
    Registration,
    /// That nothing is left of the checks themselves.
    Left,
}

impl Id {
    /// Those that there always are, in their order.
    pub(super) const ALWAYS: [Self; 13] = [
        Self::Proxy,
        Self::Dns,
        Self::Connection,
        Self::Tls,
        Self::Clock,
        Self::Token,
        Self::Catalog,
        Self::Wdm,
        Self::Mercury,
        Self::Mobius,
        Self::DeviceLimit,
        Self::Registration,
        Self::Left,
    ];

    pub(super) fn name(self) -> String {
        match self {
            Self::Proxy => "proxy",
            Self::Dns => "dns",
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Clock => "clock",
            Self::Token => "token",
            Self::Catalog => "catalog",
            Self::Wdm => "wdm",
            Self::Mercury => "mercury",
            Self::Mobius => "mobius",
            Self::Primary(number) => return format!("mobius-primary-{number}"),
            Self::Backup(number) => return format!("mobius-backup-{number}"),
            Self::DeviceLimit => "device-limit",
            Self::Registration => "registration",
            Self::Left => "left",
        }
        .to_owned()
    }

    /// What it cannot be judged without.
    pub(super) fn needs(self) -> Option<Self> {
        Some(match self {
            Self::Proxy | Self::Left => return None,
            Self::Dns => Self::Proxy,
            Self::Connection => Self::Dns,
            Self::Tls => Self::Connection,
            Self::Clock | Self::Token => Self::Tls,
            Self::Catalog => Self::Token,
            Self::Wdm => Self::Catalog,
            Self::Mercury | Self::Mobius => Self::Wdm,
            Self::Primary(_) | Self::Backup(_) | Self::DeviceLimit | Self::Registration => {
                Self::Mobius
            }
        })
    }
}
