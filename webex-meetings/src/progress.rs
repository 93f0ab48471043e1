//! How far a registration is, and what its steps have found.

use std::sync::Arc;

use webex_core::Region;

/// A step of the registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// The user's preferred meeting site is looked up. Tolerated.
    FetchWebexSite,
    /// Where the user is, by address. Tolerated.
    GetGeoHint,
    /// The media clusters are fetched; they are not probed, which takes a media engine. Tolerated.
    StartReachability,
    /// The WDM device is registered.
    DeviceRegister,
    /// The Mercury socket is connected and authorized.
    MercuryConnect,
}

impl Step {
    /// Every step, in the order in which they begin.
    pub const ALL: [Self; 5] = [
        Self::FetchWebexSite,
        Self::GetGeoHint,
        Self::StartReachability,
        Self::DeviceRegister,
        Self::MercuryConnect,
    ];

    /// The key of the step in the reference client's registration status.
    ///
    /// ```
    /// # use webex_meetings::Step;
    /// assert_eq!(Step::MercuryConnect.name(), "mercuryConnect");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::FetchWebexSite => "fetchWebexSite",
            Self::GetGeoHint => "getGeoHint",
            Self::StartReachability => "startReachability",
            Self::DeviceRegister => "deviceRegister",
            Self::MercuryConnect => "mercuryConnect",
        }
    }
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StepState {
    /// It has not ended.
    #[default]
    Pending,
    /// It has ended well.
    Done,
    /// It has ended without a result. A tolerated step: the registration goes on without it.
    Failed,
}

/// How far each step of the present (or latest) registration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RegistrationStatus([StepState; Step::ALL.len()]);

impl RegistrationStatus {
    /// How far this step is.
    pub fn of(&self, step: Step) -> StepState {
        self.0[step as usize]
    }

    pub(crate) fn set(&mut self, step: Step, state: StepState) {
        self.0[step as usize] = state;
    }
}

/// What the tolerated steps of the registration have found so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MeetingsInfo {
    /// The user's preferred meeting site, such as `acme.webex.com`.
    pub preferred_site: Option<Box<str>>,
    /// Where the user is.
    pub geo_hint: Option<Arc<Region>>,
    /// The join cookie of cluster discovery: opaque JSON, to be sent when a meeting is joined.
    pub join_cookie: Option<Box<str>>,
}
