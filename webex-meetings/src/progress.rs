//! The progress of a registration, and the results of its steps.

use std::sync::Arc;

use webex_core::Region;

/// A step of the registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Looks up the user's preferred meeting site. Optional.
    FetchWebexSite,
    /// Finds out where the user is, by address. Optional.
    GetGeoHint,
    /// Fetches the media clusters, without probing them, which needs a media engine. Optional.
    StartReachability,
    /// Registers the WDM device.
    DeviceRegister,
    /// Connects and authorizes the Mercury socket.
    MercuryConnect,
}

impl Step {
    /// Every step, in the order in which they start.
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

/// The progress of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StepState {
    /// It has not ended.
    #[default]
    Pending,
    /// It has succeeded.
    Done,
    /// It has ended without a result. The registration goes on without an optional step.
    Failed,
}

/// The progress of each step of the current (or latest) registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RegistrationStatus([StepState; Step::ALL.len()]);

impl RegistrationStatus {
    /// The progress of this step.
    pub fn of(&self, step: Step) -> StepState {
        self.0[step as usize]
    }

    pub(crate) fn set(&mut self, step: Step, state: StepState) {
        self.0[step as usize] = state;
    }
}

/// The results of the registration's optional steps so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MeetingsInfo {
    /// The user's preferred meeting site, such as `acme.webex.com`.
    pub preferred_site: Option<Box<str>>,
    /// The user's region.
    pub geo_hint: Option<Arc<Region>>,
    /// The join cookie of cluster discovery: opaque JSON, to be sent when a meeting is joined.
    pub join_cookie: Option<Box<str>>,
}
