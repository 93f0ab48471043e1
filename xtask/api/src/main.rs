//! `public-api-listing <rustdoc.json>…`: writes `<rustdoc>.txt` beside each file, one item a line.
//!
//! Auto traits and blanket implementations are left out: they follow from the rest.

use std::{env, error::Error, fs, path::PathBuf};

use public_api::Builder;

fn main() -> Result<(), Box<dyn Error>> {
    for json in env::args_os().skip(1).map(PathBuf::from) {
        let api = Builder::from_rustdoc_json(&json)
            .omit_blanket_impls(true)
            .omit_auto_trait_impls(true)
            .build()
            .map_err(|error| format!("{}: {error}", json.display()))?;
        fs::write(json.with_extension("txt"), api.to_string())?;
    }
    Ok(())
}
