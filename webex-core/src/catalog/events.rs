//! Mercury events about the catalog: it is out of date, or other clusters are active.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::debug;

use super::{
    services::Services,
    timings::SPREAD,
    wire::{pairs, timestamp},
};
use crate::mercury::MercuryEvent;

/// The catalog has changed; `data.timestamp` is the time of the change.
const INVALIDATION: &str = "u2c.cache-invalidation";

/// Services moved to other clusters: `data.activeClusters` lists them by service name.
const ACTIVE_CLUSTERS: &str = "ActiveClusterStatusEvent";

#[derive(Deserialize)]
struct Invalidation {
    timestamp: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActiveClusters {
    active_clusters: Option<Box<RawValue>>,
}

impl Services {
    /// Handles an event, if it is about the catalog.
    pub(crate) fn handle_event(self: &Arc<Self>, event: &MercuryEvent) {
        match event.event_type.as_str() {
            INVALIDATION => self.invalidated(event),
            ACTIVE_CLUSTERS => self.clusters_changed(event),
            _ => {}
        }
    }

    fn invalidated(self: &Arc<Self>, event: &MercuryEvent) {
        let Some(held) = self.held() else { return };
        let said = event.data_as::<Invalidation>().ok().and_then(|it| timestamp(&it.timestamp?));
        // The hostmap format has no timestamp; every invalidation then counts.
        if let (Some(said), Some(known)) = (said, held.timestamp)
            && said <= known
        {
            return;
        }
        debug!("the catalog is out of date");
        self.refresh_soon(SPREAD.mul_f64(fastrand::f64()));
    }

    fn clusters_changed(self: &Arc<Self>, event: &MercuryEvent) {
        let Some(held) = self.held() else { return };
        let Ok(ActiveClusters { active_clusters }) = event.data_as() else { return };
        let Ok(active_clusters) = active_clusters.as_deref().map_or(Ok(Vec::new()), pairs) else {
            return;
        };
        match held.catalog.with_active(&active_clusters) {
            Some(catalog) => {
                debug!("other clusters are in use now");
                self.replace(held.with(catalog));
            }
            // A cluster that is not in this catalog, or a format without clusters.
            None => self.refresh_soon(SPREAD.mul_f64(fastrand::f64())),
        }
    }
}
