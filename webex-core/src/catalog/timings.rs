//! Every duration of the service catalog, with its reason and source.
//!
//! "Reference client" is the official JavaScript SDK.

use std::time::Duration;

/// How long a kept catalog may be used (the reference client's limit).
pub(super) const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// From this age on a catalog is fetched anew beside its use: half of [`KEPT_FOR`], so that a program
/// that runs daily never waits for one.
pub(super) const OLD: Duration = Duration::from_secs(12 * 60 * 60);

/// How often hosts that fail, or age, may lead to a request. What fails may be the network.
pub(super) const REFRESH_PAUSE: Duration = Duration::from_secs(5 * 60);

/// How long a host that failed is left alone while there are others. The reference client waits
/// until all have failed; a host that was restarted is back within minutes.
pub(super) const FAILED_FOR: Duration = Duration::from_secs(5 * 60);

/// A request that waited so long and got no answer says something about the host, and not only about
/// the patience of who sent it.
pub(super) const PATIENT: Duration = Duration::from_secs(10);

/// Within this time after an event the catalog is fetched, at a random moment: the same event goes
/// to every client of an organisation, and several may come at once.
pub(super) const SPREAD: Duration = Duration::from_secs(2);
