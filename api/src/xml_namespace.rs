//! The namespaces of XML answers. A site setting chooses between the one real sites send and the guide's (config-api.md
//! section 0 fact 8).

use domain::Surface;
use domain::site::settings::SiteSettings;

/// Reports, as real sites send them.
pub const REPORTING_FIELD: &str = "http://www.beyondtrust.com/sra/namespaces/API/reporting";
/// Reports, as printed in the guide.
pub const REPORTING_GUIDE: &str = "https://www.beyondtrust.com/namespaces/API/reporting";
/// Command answers, by analogy with the reports of real sites.
pub const COMMAND_FIELD: &str = "http://www.beyondtrust.com/sra/namespaces/API/command";
/// Command answers, as printed in the guide.
pub const COMMAND_GUIDE: &str = "https://www.beyondtrust.com/namespaces/API/command";

/// The namespace of a surface that answers in XML.
#[must_use]
pub fn of(surface: Surface, settings: &SiteSettings) -> Option<&'static str> {
    match surface {
        Surface::ReportingApi if settings.reporting_namespace == "guide" => Some(REPORTING_GUIDE),
        Surface::ReportingApi => Some(REPORTING_FIELD),
        Surface::CommandApi if settings.command_namespace == "field" => Some(COMMAND_FIELD),
        Surface::CommandApi => Some(COMMAND_GUIDE),
        _ => None,
    }
}
