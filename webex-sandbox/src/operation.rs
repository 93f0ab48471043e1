//! Names of everything the sandbox serves.
//!
//! The router identifies the [`Operation`] of a request once. The request log, the matching of
//! faults and the events of the control API all use it.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// A Webex service the sandbox imitates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Service {
    /// Identity: authorize, token, revoke, guests.
    OAuth,
    /// Region discovery.
    Region,
    /// The service catalog.
    U2c,
    /// Device registration.
    Wdm,
    /// The websocket for events.
    Mercury,
    /// The public REST API.
    Hydra,
    /// Conversations; here the user record and messages.
    Conversation,
    /// Media clusters.
    Calliope,
    /// Meetings in progress.
    Locus,
    /// Client metrics.
    Metrics,
    /// Upload of client logs.
    ClientLogs,
    /// Webex Calling lines.
    Mobius,
    /// Anything that matches no known path.
    Other,
}

impl Service {
    const ALL: [(Self, &'static str); 13] = [
        (Self::OAuth, "oauth"),
        (Self::Region, "region"),
        (Self::U2c, "u2c"),
        (Self::Wdm, "wdm"),
        (Self::Mercury, "mercury"),
        (Self::Hydra, "hydra"),
        (Self::Conversation, "conversation"),
        (Self::Calliope, "calliope"),
        (Self::Locus, "locus"),
        (Self::Metrics, "metrics"),
        (Self::ClientLogs, "client_logs"),
        (Self::Mobius, "mobius"),
        (Self::Other, "other"),
    ];

    /// The name used in logs and in the control API, for example `wdm`.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(service, _)| *service == self).map_or("other", |(_, name)| name)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Service {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// An operation of a service, for example `mobius.register`.
///
/// Returned by the functions of the service types: [`Mobius::register`], [`Wdm::refresh`], …
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operation {
    service: Service,
    name: &'static str,
}

impl Operation {
    /// The service that it belongs to.
    pub fn service(self) -> Service {
        self.service
    }

    /// The name within the service, for example `register`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Whether a request without a live access token is refused with 401.
    pub(crate) fn needs_token(self) -> bool {
        match self.service {
            Service::U2c => self != U2c::limited(),
            Service::Mobius => self != Mobius::ping(),
            Service::Wdm
            | Service::Hydra
            | Service::Conversation
            | Service::Calliope
            | Service::Locus => true,
            Service::OAuth => [OAuth::guest_token(), OAuth::application_token()].contains(&self),
            Service::Region
            | Service::Mercury
            | Service::Metrics
            | Service::ClientLogs
            | Service::Other => false,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service, self.name)
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The target of a fault or a query: everything, a service, or one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// Every request, and every Mercury frame that gets an answer.
    Everything,
    /// All operations of a service.
    Service(Service),
    /// One operation.
    Operation(Operation),
}

impl Target {
    /// Whether this includes `operation`.
    pub fn covers(self, operation: Operation) -> bool {
        match self {
            Self::Everything => true,
            Self::Service(service) => service == operation.service,
            Self::Operation(wanted) => wanted == operation,
        }
    }
}

impl Target {
    /// Every service and every operation, each service followed by its operations.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Service::ALL.into_iter().flat_map(|(service, _)| {
            let operations = ALL.iter().filter(move |operation| operation.service == service);
            std::iter::once(Self::Service(service)).chain(operations.copied().map(Self::Operation))
        })
    }
}

impl From<Operation> for Target {
    fn from(operation: Operation) -> Self {
        Self::Operation(operation)
    }
}

impl From<Service> for Target {
    fn from(service: Service) -> Self {
        Self::Service(service)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("*"),
            Self::Service(service) => service.fmt(f),
            Self::Operation(operation) => operation.fmt(f),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is neither `*`, nor a service, nor `service.operation`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no service or operation is called {0:?}")]
pub struct UnknownTarget(String);

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::Everything);
        }
        if let Some((service, _)) = Service::ALL.iter().find(|(_, name)| *name == text) {
            return Ok(Self::Service(*service));
        }
        ALL.iter()
            .find(|operation| {
                text.split_once('.') == Some((operation.service.name(), operation.name))
            })
            .map(|operation| Self::Operation(*operation))
            .ok_or_else(|| UnknownTarget(text.to_owned()))
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $group:ident { $($(#[$op_doc:meta])* $op:ident,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $group {}

            impl $group {
                $(
                    $(#[$op_doc])*
                    pub const fn $op() -> Operation {
                        Operation { service: Service::$group, name: stringify!($op) }
                    }
                )*
            }
        )*

        /// Every operation, for parsing names.
        const ALL: &[Operation] = &[$($($group::$op(),)*)*];
    };
}

operations! {
    /// Operations of the identity service.
    OAuth {
        /// `GET …/authorize`: the page the user's browser opens.
        authorize,
        /// `POST …/access_token`, all grants.
        token,
        /// `POST …/revoke`.
        revoke,
        /// `POST` or `GET …/logout`.
        logout,
        /// `POST /v1/device/authorize`: start of the device grant.
        device_authorize,
        /// `POST /v1/device/token`: polling of the device grant.
        device_token,
        /// `POST /v1/applications/{id}/token`: tokens of a service app.
        application_token,
        /// `POST /v1/guests/token`.
        guest_token,
        /// `POST /v1/jwt/login`: exchange of a guest-issuer JWT.
        jwt_login,
    }
    /// Operations of region discovery.
    Region {
        /// `GET /v1/region`.
        lookup,
    }
    /// Operations of the service catalog.
    U2c {
        /// `GET …/limited/catalog`, without a token.
        limited,
        /// `GET …/signin/catalog`.
        signin,
        /// `GET …/catalog` of a signed-in user.
        postauth,
    }
    /// Operations on WDM devices.
    Wdm {
        /// `POST …/devices`.
        register,
        /// `PUT …/devices/{id}`.
        refresh,
        /// `DELETE …/devices/{id}`.
        unregister,
        /// `GET …/devices/{id}`.
        show,
        /// `GET …/devices`.
        list,
    }
    /// Operations of the Mercury websocket. All but `connect` are client frames, not HTTP requests.
    Mercury {
        /// The websocket upgrade.
        connect,
        /// The authorization frame.
        authorize,
        /// The ping frame.
        ping,
    }
    /// Operations of the public REST API.
    Hydra {
        /// `GET /v1/people/me`.
        me,
        /// `GET /v1/meetingPreferences`.
        meeting_preferences,
        /// `GET /v1/organizations`.
        organizations,
        /// `GET /v1/messages/{id}`.
        message,
        /// `POST /v1/messages`.
        post_message,
    }
    /// Operations of the conversation service.
    Conversation {
        /// `GET …/users`.
        user,
        /// `GET …/messages/{id}`: the public id of a message.
        message,
    }
    /// Operations of media cluster discovery.
    Calliope {
        /// `POST` or `GET …/clusters`.
        clusters,
    }
    /// Operations of the meeting service.
    Locus {
        /// `GET …/loci`.
        loci,
    }
    /// Operations of client metrics.
    Metrics {
        /// `POST …/clientmetrics`.
        submit,
    }
    /// Operations of log upload.
    ClientLogs {
        /// `POST …/logs/urls`: asks where to put a log.
        urls,
        /// `PUT` of the log itself.
        upload,
        /// `POST …/logs/meta`.
        meta,
    }
    /// Operations on Webex Calling lines.
    Mobius {
        /// `GET …/calling/web/`: which servers to use.
        discovery,
        /// `POST …/calling/web/device`.
        register,
        /// `POST …/devices/{id}/status`: the keepalive.
        status,
        /// `DELETE …/devices/{id}`.
        unregister,
        /// `GET …/devices`.
        list,
        /// `GET /api/v1/ping`.
        ping,
    }
    /// Requests that belong to no service.
    Other {
        /// A path that no service has.
        unknown,
        /// A CORS preflight (`OPTIONS`), whatever the path.
        preflight,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_parsed_back() {
        for operation in ALL {
            assert_eq!(operation.to_string().parse(), Ok(Target::Operation(*operation)));
            assert_eq!(
                operation.service().name().parse(),
                Ok(Target::Service(operation.service()))
            );
        }
        assert_eq!("*".parse(), Ok(Target::Everything));
        assert_eq!("mobius.dance".parse::<Target>(), Err(UnknownTarget("mobius.dance".into())));
    }
}
