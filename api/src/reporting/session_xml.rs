//! A session as `<session>`, in the element order of config-api.md 3.1 (REP-24 to REP-54, REP-85).

use std::collections::BTreeMap;

use domain::session::access_session::Customer;
use domain::session::details::Category;
use domain::{Timestamp, World};
use projections::{Detail, Entity, Member, SessionReport, SessionSummary};

use crate::xml::Document;

/// What stands for a value that was not collected (REP-40).
const UNKNOWN: &str = "Unknown";

/// Writes one session; what is still going on is counted until `now` (REP-87).
///
/// Chats and recordings are absent as long as no session can have them. `names` are the display names of attributes, by code name.
pub fn session(
    document: &mut Document,
    report: &SessionReport,
    names: &AttributeNames,
    now: Timestamp,
) {
    document.open("session", &[("lsid", &report.lsid.to_string())]);
    document.leaf("session_type", &[], "support");
    document.number("lseq", report.lseq);
    moment(document, "start_time", Some(report.started_at));
    moment(document, "end_time", report.ended_at);
    document.leaf("duration", &[], &duration(report.seconds(now)));
    document.leaf("external_key", &[], &report.external_key);
    attributes(document, report, names);
    document.number("file_transfer_count", report.files.transferred);
    document.number("file_move_count", report.files.moved);
    document.number("file_delete_count", report.files.deleted);
    let customer = &report.customer;
    let customer_number = customer.gsnumber.to_string();
    document.leaf(
        "primary_customer",
        &[("gsnumber", &customer_number)],
        &customer.name,
    );
    document.leaf(
        "jump_group",
        &[
            ("type", report.group.type_name()),
            ("id", &report.group.number().to_string()),
        ],
        &report.group_name,
    );
    // REP-31: the name of the Jumpoint "if any", and no session goes through one yet. Readers of the field look for the element.
    document.leaf("jumpoint", &[], "");
    primary_representative(document, report);
    document.open("customer_list", &[]);
    self::customer(document, customer);
    document.close();
    document.open("rep_list", &[]);
    for member in &report.members {
        representative(document, member, now);
    }
    document.close();
    document.open("session_details", &[]);
    for detail in &report.details {
        event(document, detail);
    }
    document.close();
    document.close();
}

/// Writes one line of a listing (REP-55, REP-56).
pub fn summary(document: &mut Document, summary: &SessionSummary) {
    let lsid = summary.lsid.to_string();
    let mut attributes = vec![("lsid", lsid.as_str()), ("has_recording", "0")];
    if !summary.external_key.is_empty() {
        attributes.push(("external_key", &summary.external_key));
    }
    document.leaf("session_summary", &attributes, "");
}

/// The display names of the site's session attributes, by code name.
pub type AttributeNames = BTreeMap<String, String>;

/// What the site's session attributes are called now.
#[must_use]
pub fn attribute_names(world: &World) -> AttributeNames {
    world
        .custom_session_attributes
        .iter()
        .map(|(_, attribute)| (attribute.code_name.clone(), attribute.display_name.clone()))
        .collect()
}

/// REP-32: one per attribute that the session has. One that the site has no more is called by its code name.
fn attributes(document: &mut Document, report: &SessionReport, names: &AttributeNames) {
    if report.attributes.is_empty() {
        return;
    }
    document.open("custom_attributes", &[]);
    for (code_name, value) in &report.attributes {
        let display_name = names.get(code_name).unwrap_or(code_name);
        document.leaf(
            "custom_attribute",
            &[("display_name", display_name), ("code_name", code_name)],
            value,
        );
    }
    document.close();
}

/// REP-27, REP-28: ISO 8601 with the UNIX time beside it; empty where there is none.
fn moment(document: &mut Document, name: &'static str, at: Option<Timestamp>) {
    match at {
        Some(at) => document.leaf(
            name,
            &[("timestamp", &at.unix_seconds().to_string())],
            &at.to_rfc3339(),
        ),
        None => document.leaf(name, &[], ""),
    }
}

/// REP-29, REP-87: HH:MM:SS, the hours counted on past 24.
fn duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// REP-38. A session always has an owner.
fn primary_representative(document: &mut Document, report: &SessionReport) {
    let Some(owner) = report.owner() else {
        return;
    };
    let representative = &owner.representative;
    document.leaf(
        "primary_rep",
        &[
            ("gsnumber", &representative.gsnumber.to_string()),
            ("id", &representative.user_id.to_string()),
        ],
        &representative.private_display_name,
    );
}

/// REP-39.
fn customer(document: &mut Document, customer: &Customer) {
    document.open("customer", &[("gsnumber", &customer.gsnumber.to_string())]);
    document.leaf("username", &[], &customer.username);
    document.leaf("public_ip", &[], known(&customer.public_ip));
    document.leaf("private_ip", &[], known(&customer.private_ip));
    document.leaf("hostname", &[], known(&customer.hostname));
    document.leaf("os", &[], known(&customer.os));
    document.close();
}

/// REP-40, REP-43. The user's own host is not known: sessions start from the web.
fn representative(document: &mut Document, member: &Member, now: Timestamp) {
    let representative = &member.representative;
    document.open(
        "representative",
        &[
            ("gsnumber", &representative.gsnumber.to_string()),
            ("id", &representative.user_id.to_string()),
        ],
    );
    document.leaf("username", &[], &representative.username);
    document.leaf("display_name", &[], &representative.public_display_name);
    document.leaf(
        "public_display_name",
        &[],
        &representative.public_display_name,
    );
    document.leaf(
        "private_display_name",
        &[],
        &representative.private_display_name,
    );
    document.leaf("public_ip", &[], known(&representative.public_ip));
    document.leaf("private_ip", &[], UNKNOWN);
    document.leaf("os", &[], known(&representative.os));
    document.leaf("session_owner", &[], if member.owner { "1" } else { "0" });
    document.number("seconds_involved", member.seconds_involved(now));
    if member.invited {
        document.leaf("invited", &[], "1");
    }
    document.close();
}

/// REP-44, REP-48, REP-54.
fn event(document: &mut Document, detail: &Detail) {
    document.open(
        "event",
        &[
            ("timestamp", &detail.at.unix_seconds().to_string()),
            ("event_type", detail.event_type),
        ],
    );
    entity(document, "performed_by", &detail.performed_by);
    if let Some(destination) = &detail.destination {
        entity(document, "destination", destination);
    }
    if let Some(body) = &detail.body {
        document.leaf_or_encoded("body", "encoded_body", body);
    }
    if let Some(file) = detail.files.first() {
        document.leaf("filename", &[], &file.name);
        document.number("filesize", file.size);
        document.open("files", &[]);
        for file in &detail.files {
            document.leaf("file", &[], &file.name);
        }
        document.close();
    }
    if !detail.data.is_empty() {
        document.open("data", &[]);
        for (name, value) in &detail.data {
            document.leaf("value", &[("name", name), ("value", value)], "");
        }
        document.close();
    }
    if !detail.system_information.is_empty() {
        document.open("system_information", &[]);
        for category in &detail.system_information {
            self::category(document, category);
        }
        document.close();
    }
    document.close();
}

/// REP-53.
fn category(document: &mut Document, category: &Category) {
    document.open("category", &[("name", &category.name)]);
    fields(document, "description", &category.fields);
    document.open("data", &[]);
    for row in &category.rows {
        fields(document, "row", row);
    }
    document.close();
    document.close();
}

fn fields(document: &mut Document, name: &'static str, fields: &[String]) {
    document.open(name, &[]);
    for field in fields {
        document.leaf("field", &[], field);
    }
    document.close();
}

fn entity(document: &mut Document, name: &'static str, entity: &Entity) {
    document.leaf(
        name,
        &[
            ("type", entity.kind.word()),
            ("gsnumber", &entity.gsnumber.to_string()),
        ],
        &entity.name,
    );
}

fn known(text: &str) -> &str {
    if text.is_empty() { UNKNOWN } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REP-29 REP-87
    #[test]
    fn hours_count_on_past_a_day() {
        for (seconds, shown) in [
            (-5, "00:00:00"),
            (0, "00:00:00"),
            (59, "00:00:59"),
            (3_661, "01:01:01"),
            (90_000, "25:00:00"),
            (360_000, "100:00:00"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
    }
}
