//! What Mercury says about the catalog: that it is out of date, or which clusters are in use.

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

/// The catalog has changed: `data.timestamp` says as of when.
const INVALIDATION: &str = "u2c.cache-invalidation";

/// Services moved to other clusters: `data.activeClusters` has them by name.
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
    /// Looks whether an event concerns the catalog.
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
        // The hostmap form does not say when it was made: then every such event counts.
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
            // A cluster that this catalog does not know, or a form that knows no clusters.
            None => self.refresh_soon(SPREAD.mul_f64(fastrand::f64())),
        }
    }
}
