//! State shared by the client and its link's task.

use std::sync::Arc;

use crate::{
    catalog::{Catalog, CatalogError, Services},
    clock::ClockOffset,
    device::config::DeviceConfig,
    endpoints::Endpoints,
    fetched::Fetched,
    http::Http,
    region::Region,
    saved::SavedState,
    user::User,
};

/// State shared by the client and its link's task. The task holds this and not the client, so that
/// dropping the last client ends the task.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) http: Http,
    pub(crate) endpoints: Endpoints,
    pub(crate) device: DeviceConfig,
    pub(crate) saved: SavedState,
    pub(crate) services: Arc<Services>,
    pub(crate) clock: ClockOffset,
    pub(crate) user: Fetched<User>,
    pub(crate) region: Fetched<Region>,
}

impl Core {
    /// The catalog; concurrent callers share one request.
    pub(crate) async fn catalog(&self) -> Result<Arc<Catalog>, CatalogError> {
        self.services.catalog().await
    }
}
