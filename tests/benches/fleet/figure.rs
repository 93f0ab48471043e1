//! One line of the report.

/// A figure and its limit.
pub(crate) struct Figure {
    pub(crate) what: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) most: Option<f64>,
}

impl Figure {
    /// Prints it. Returns whether it is within its limit.
    pub(crate) fn report(&self) -> bool {
        let Self { what, value, unit, most } = self;
        let met = most.is_none_or(|most| *value <= most);
        let target = most.map_or(String::new(), |most| {
            format!("at most {most:.1} {unit}: {}", if met { "met" } else { "MISSED" })
        });
        println!("  {what:<46} {:>16}   {target}", format!("{value:.2} {unit}").trim_end());
        met
    }
}
