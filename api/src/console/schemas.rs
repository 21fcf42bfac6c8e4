//! The console API's own shapes for the OpenAPI document; its records' come from their tables.

use domain::items::custom_field::CustomField;
use domain::record::{Record, Write};
use domain::site::api_account::ApiAccount;
use domain::site::custom_session_attribute::CustomSessionAttribute;
use domain::site::ticket_system::TicketSystem;
use domain::site::user::User;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};

use crate::configuration::resource::Resource;
use crate::console::{access_requests, installers, passwords};
use crate::openapi::fields_schema;

/// Every schema by its name.
#[must_use]
pub fn schemas() -> Vec<(&'static str, Schema)> {
    let mut schemas = vec![
        (
            "SignIn",
            required(
                object(&[
                    ("username", text()),
                    ("password", text()),
                    ("new_password", perhaps(Type::String)),
                    ("bearer", flag()),
                ]),
                &["username", "password"],
            ),
        ),
        ("Me", object(&me())),
        (
            "SignedIn",
            object(&[me(), vec![("token", text())]].concat()),
        ),
        ("PasswordChange", fields_schema(passwords::OWN, &[], false)),
        (
            "PasswordOfAnother",
            fields_schema(passwords::OF_ANOTHER, &[], false),
        ),
        ("UserPermissions", permissions()),
        ("ApiAccountWithSecret", with_secret()),
    ];
    schemas.extend(mail());
    schemas.extend(agent_trust());
    schemas.extend(access());
    schemas.extend(items());
    schemas.extend(item_settings());
    schemas.extend(sessions());
    schemas.extend(access_requests());
    schemas.extend(fleet());
    schemas
}

fn fleet() -> Vec<(&'static str, Schema)> {
    let view = vec![
        ("id", whole()),
        ("installer_id", text()),
        ("name", text()),
        ("group", group()),
        ("tag", text()),
        ("comments", text()),
        ("jump_policy", perhaps(Type::Object)),
        ("session_policy_id", perhaps(Type::Integer)),
        ("jumpoint_proxy", perhaps(Type::String)),
        ("connection_type", text()),
        ("max_offline_minutes", whole()),
        ("elevate_install", flag()),
        ("elevate_prompt", flag()),
        ("start_customer_client_minimized", flag()),
        ("allow_override", anything()),
        ("state", text()),
        ("expires_at", text()),
        ("created_by", perhaps(Type::Object)),
        ("files", of_type(Type::Array)),
        ("direct_download_link", perhaps(Type::String)),
        ("rights", anything()),
    ];
    let made = vec![("key_info", perhaps(Type::String)), ("warnings", texts())];
    vec![
        (
            "JumpClientInstallerForm",
            fields_schema(&installers::form(), &[], true),
        ),
        ("JumpClientInstallerView", object(&view)),
        ("JumpClientInstallerMade", object(&[view, made].concat())),
        (
            "JumpClientInstallerPage",
            object(&[
                ("installers", list_of("JumpClientInstallerView")),
                ("total", whole()),
                ("per_page", whole()),
                ("current_page", whole()),
                ("last_page", whole()),
                ("warning", text()),
                ("warning_is_dismissible", flag()),
            ]),
        ),
        (
            "JumpClientInstallerWizard",
            object(&[
                ("platforms", of_type(Type::Array)),
                ("default_platform", text()),
                ("valid_duration", anything()),
                ("recipients_max", whole()),
                ("jump_clients", anything()),
                ("clients_per_minute_advised", whole()),
                ("warning", text()),
            ]),
        ),
        (
            "JumpClientInstallerExtension",
            fields_schema(installers::EXTENSION, &[], false),
        ),
        (
            "JumpClientInstallerMail",
            required(
                object(&[
                    ("recipients", texts()),
                    ("platform", text()),
                    ("language", text()),
                ]),
                &["recipients", "platform"],
            ),
        ),
        (
            "JumpClientInstallerMailed",
            object(&[("mails", texts()), ("warnings", texts())]),
        ),
    ]
}

fn access() -> Vec<(&'static str, Schema)> {
    let named = || RefOr::T(object(&[("id", whole()), ("name", text())]));
    let reason = object(&[("code", text()), ("message", text()), ("rule", text())]);
    let ids = Schema::Array(ArrayBuilder::new().items(whole()).build());
    let texts = Schema::Array(ArrayBuilder::new().items(text()).build());
    let anythings = Schema::Array(ArrayBuilder::new().items(anything()).build());
    vec![
        (
            "JumpItemAccess",
            object(&[
                ("allowed", flag()),
                ("grant", of_type(SchemaType::AnyValue)),
                ("granted_by", perhaps(Type::String)),
                ("rule", text()),
                ("role", perhaps(Type::Object)),
                ("settings_from", perhaps(Type::String)),
                ("policy", perhaps(Type::Object)),
                ("reasons", list_of("JumpItemAccessReason")),
                ("needs", RefOr::T(anythings)),
                ("would_help", RefOr::T(texts)),
            ]),
        ),
        ("JumpItemAccessReason", reason),
        ("GroupPolicyOrder", {
            let entries = Schema::Array(ArrayBuilder::new().items(named()).build());
            object(&[("order", RefOr::T(entries))])
        }),
        (
            "GroupPolicyOrderChange",
            object(&[("order", RefOr::T(ids))]),
        ),
        (
            "GroupPolicyRemoval",
            object(&[("type", text()), ("id", whole())]),
        ),
        (
            "JumpGroupRow",
            object(&[
                ("id", whole()),
                ("name", text()),
                ("code_name", text()),
                ("comments", perhaps(Type::String)),
                ("ecm_group", text()),
                ("items", text()),
            ]),
        ),
        (
            "JumpGroupMember",
            object(&[
                ("user_id", whole()),
                ("user", text()),
                ("jump_item_role", text()),
                ("jump_item_role_id", whole()),
                ("is_default_role", flag()),
                ("jump_policy", text()),
                ("jump_policy_id", perhaps(Type::Integer)),
                ("granted_by", text()),
                ("editable", flag()),
            ]),
        ),
        (
            "JumpItemRoleRow",
            object(&[
                ("id", whole()),
                ("name", text()),
                ("jump", text()),
                ("create_deploy", text()),
                ("remove", text()),
                ("move_copy", text()),
                ("edit", text()),
                ("view_reports", text()),
            ]),
        ),
    ]
}

fn me() -> Vec<(&'static str, RefOr<Schema>)> {
    vec![
        ("id", whole()),
        ("username", text()),
        ("public_display_name", text()),
        ("private_display_name", text()),
        ("email_address", text()),
        ("administrator", flag()),
        ("may_access_endpoints", flag()),
        ("may_share_with_other_teams", flag()),
        ("may_invite_external_users", flag()),
        ("may_enable_extended_availability", flag()),
        ("may_edit_external_key", flag()),
        ("may_show_screen", flag()),
        ("may_give_control", flag()),
        ("expires_at", text()),
        ("csrf", text()),
    ]
}

fn agent_trust() -> Vec<(&'static str, Schema)> {
    let entry = || {
        vec![
            ("id", whole()),
            ("version", whole()),
            ("added_at", text()),
            ("unconfirmed", whole()),
            ("cut_off_if_withdrawn", whole()),
        ]
    };
    vec![
        (
            "AgentAnchor",
            object(
                &[
                    entry(),
                    vec![("anchor", text()), ("in_use", perhaps(Type::Boolean))],
                ]
                .concat(),
            ),
        ),
        (
            "AgentAnchorNew",
            required(object(&[("anchor", text())]), &["anchor"]),
        ),
        (
            "SiteAddress",
            object(&[entry(), vec![("url", text()), ("place", whole())]].concat()),
        ),
        (
            "SiteAddressNew",
            required(object(&[("url", text()), ("place", whole())]), &["url"]),
        ),
        (
            "UnconfirmedJumpClient",
            object(&[
                ("id", whole()),
                ("name", text()),
                ("hostname", text()),
                ("online", flag()),
                ("offline_since", perhaps(Type::String)),
                ("confirmed_version", whole()),
            ]),
        ),
    ]
}

fn mail() -> Vec<(&'static str, Schema)> {
    let template = vec![
        ("kind", text()),
        ("language", text()),
        ("subject", text()),
        ("body", text()),
        ("as_shipped", flag()),
        ("macros", texts()),
    ];
    let delivery = vec![
        ("id", text()),
        ("type", text()),
        ("recipient", text()),
        ("language", text()),
        ("access_request_id", perhaps(Type::Integer)),
        ("lsid", perhaps(Type::String)),
        ("state", text()),
        ("attempts", whole()),
        ("reason", text()),
        ("queued_at", text()),
        ("next_attempt_at", perhaps(Type::String)),
        ("parked_at", perhaps(Type::String)),
    ];
    vec![
        (
            "MailTest",
            required(
                object(&[("recipient", text()), ("language", text())]),
                &["recipient"],
            ),
        ),
        (
            "MailTested",
            object(&[("id", text()), ("state", text()), ("reason", text())]),
        ),
        ("MailTemplate", object(&template)),
        (
            "MailTemplates",
            object(&[("templates", list_of("MailTemplate"))]),
        ),
        (
            "MailTemplateText",
            required(
                object(&[("subject", text()), ("body", text())]),
                &["subject", "body"],
            ),
        ),
        ("MailDelivery", object(&delivery)),
        (
            "MailReplayed",
            object(&[("replayed", whole()), ("left", whole())]),
        ),
    ]
}

fn items() -> Vec<(&'static str, Schema)> {
    let item = vec![
        ("id", text()),
        ("type", text()),
        ("name", text()),
        ("hostname", text()),
        ("jump_method", text()),
        ("comments", text()),
        ("group", group()),
        ("tag", text()),
        ("status", text()),
        ("status_text", text()),
        ("offline_since", perhaps(Type::String)),
        ("last_access_at", perhaps(Type::String)),
        ("operating_system", text()),
        ("console_user", text()),
        ("public_ip", text()),
        ("private_ip", text()),
        ("in_session", flag()),
    ];
    let details = vec![
        ("fqdn", text()),
        ("install_mode", text()),
        ("connection_type", text()),
        ("jump_policy_id", perhaps(Type::Integer)),
        ("approval", perhaps(Type::Object)),
        ("session_policy_id", perhaps(Type::Integer)),
        ("last_connect_at", text()),
        ("deletion_at", perhaps(Type::String)),
        ("max_offline_minutes", whole()),
        ("agent_version", text()),
        ("jumpoint_id", perhaps(Type::Integer)),
        ("protocol", text()),
        ("port", whole()),
        ("terminal", text()),
        ("username", text()),
        ("custom_fields", anything()),
        ("figures", perhaps(Type::Object)),
        ("duplicate_of", of_type(Type::Array)),
        (
            "role",
            RefOr::T(object(&[
                ("id", whole()),
                ("name", text()),
                ("from", text()),
            ])),
        ),
        ("may", anything()),
    ];
    vec![
        ("JumpItem", object(&item)),
        ("JumpItemDetails", object(&[item, details].concat())),
        (
            "JumpItemPage",
            object(&[
                ("items", list_of("JumpItem")),
                ("total", whole()),
                ("per_page", whole()),
                ("current_page", whole()),
                ("last_page", whole()),
                ("by_status", anything()),
                ("tags", anything()),
                ("counts", anything()),
                ("footer", text()),
                ("next", text()),
            ]),
        ),
    ]
}

fn item_settings() -> Vec<(&'static str, Schema)> {
    vec![
        (
            CustomField::SCHEMA,
            fields_schema(CustomField::FIELDS, &[], true),
        ),
        (
            CustomSessionAttribute::SCHEMA,
            fields_schema(CustomSessionAttribute::FIELDS, &[], true),
        ),
        // The members are those of the item's type.
        (
            "JumpItemChange",
            Schema::Object(ObjectBuilder::new().build()),
        ),
        // The members are the code names of the site's custom fields.
        (
            "CustomFieldValues",
            Schema::Object(ObjectBuilder::new().build()),
        ),
        (
            "JumpointDependents",
            object(&[
                ("jump_items", whole()),
                ("users", whole()),
                ("group_policies", anything()),
            ]),
        ),
    ]
}

fn sessions() -> Vec<(&'static str, Schema)> {
    let named = |id: RefOr<Schema>| RefOr::T(object(&[("id", id), ("name", text())]));
    vec![
        (
            "SessionStart",
            object(&[items_to_start(), start_options()].concat()),
        ),
        (
            "TicketRequest",
            object(&[
                ("id", whole()),
                ("item", text()),
                ("state", text()),
                ("message", perhaps(Type::String)),
                ("lsid", perhaps(Type::String)),
                ("expires_at", text()),
            ]),
        ),
        (
            "TicketRequestMade",
            object(&[(
                "ticket_request",
                RefOr::Ref(Ref::from_schema_name("TicketRequest")),
            )]),
        ),
        ("TicketSystem", ticket_system()),
        ("SessionStartOptions", object(&start_options())),
        (
            "SessionStarts",
            object(&[("results", of_type(Type::Array))]),
        ),
        (
            "StartNeeds",
            object(&[
                ("item", text()),
                ("jump_policy_id", perhaps(Type::Integer)),
                ("needs", of_type(Type::Array)),
                ("approver_comments", perhaps(Type::String)),
                ("recordings_disabled", flag()),
                ("closes_at", perhaps(Type::String)),
                ("ends_when_closed", flag()),
                ("joins", flag()),
            ]),
        ),
        ("SessionJoin", object(&[("notification_consent", flag())])),
        (
            "SessionUser",
            required(object(&[("user_id", whole())]), &["user_id"]),
        ),
        (
            "SessionAttributes",
            object(&[("attributes", anything()), ("external_key", text())]),
        ),
        (
            "SessionDetail",
            required(
                object(&[
                    ("kind", text()),
                    ("toward", anything()),
                    ("body", text()),
                    ("files", of_type(Type::Array)),
                    ("values", anything()),
                    ("system_information", of_type(Type::Array)),
                ]),
                &["kind"],
            ),
        ),
        (
            "Items",
            required(object(&[("items", of_type(Type::Array))]), &["items"]),
        ),
        (
            "ItemChanges",
            required(
                object(&[("items", of_type(Type::Array)), ("changes", anything())]),
                &["items", "changes"],
            ),
        ),
        ("ItemResults", object(&[("results", of_type(Type::Array))])),
        ("StartupItems", object(&[("items", of_type(Type::Array))])),
        ("RecentItems", object(&[("items", of_type(Type::Array))])),
        (
            "Session",
            object(&[
                ("lsid", text()),
                ("state", text()),
                ("item", named(text())),
                ("group", group()),
                ("owner", named(whole())),
                ("jump_policy_id", perhaps(Type::Integer)),
                ("started_at", text()),
                ("invited", flag()),
                ("members", of_type(Type::Array)),
                ("invitations", of_type(Type::Array)),
                ("attributes", anything()),
                ("external_key", text()),
                ("ends_at", perhaps(Type::String)),
                ("recordings_disabled", flag()),
                ("undelivered_mails", undelivered_mails()),
                (
                    "failure",
                    RefOr::T(object(&[("code", text()), ("message", text())])),
                ),
                ("failed_at", text()),
            ]),
        ),
        (
            "GroupInSight",
            object(&[
                ("type", text()),
                ("id", whole()),
                ("name", text()),
                ("role", named(whole())),
                ("may", anything()),
                ("jump_policy_id", perhaps(Type::Integer)),
            ]),
        ),
        (
            "PolicyChoice",
            object(&[
                ("id", whole()),
                ("display_name", text()),
                ("code_name", text()),
                ("description", text()),
            ]),
        ),
        ("UserChoice", object(&[("id", whole()), ("name", text())])),
        (
            "SessionReportEvent",
            object(&[
                ("at", text()),
                ("event_type", text()),
                ("performed_by", anything()),
                ("destination", anything()),
                ("body", perhaps(Type::String)),
                ("data", anything()),
            ]),
        ),
        ("SessionEnd", object(&[("lsid", text()), ("state", text())])),
    ]
}

/// Mails about a thing of which an attempt failed; to whom and why for administrators alone.
fn undelivered_mails() -> RefOr<Schema> {
    let mail = object(&[
        ("type", text()),
        ("state", text()),
        ("attempts", whole()),
        ("next_attempt_at", perhaps(Type::String)),
        ("id", text()),
        ("recipient", text()),
        ("reason", text()),
    ]);
    let mails = Schema::Array(ArrayBuilder::new().items(RefOr::T(mail)).build());
    RefOr::T(object(&[("total", whole()), ("mails", RefOr::T(mails))]))
}

/// One of the three.
fn items_to_start() -> Vec<(&'static str, RefOr<Schema>)> {
    vec![
        ("item", text()),
        ("items", of_type(Type::Array)),
        (
            "group",
            RefOr::T(object(&[("type", text()), ("id", whole())])),
        ),
    ]
}

fn start_options() -> Vec<(&'static str, RefOr<Schema>)> {
    vec![
        ("notification_consent", flag()),
        ("schedule_override", flag()),
        ("attributes", anything()),
        ("external_key", text()),
        ("ticket_id", text()),
    ]
}

fn access_requests() -> Vec<(&'static str, Schema)> {
    let named = |id: RefOr<Schema>| RefOr::T(object(&[("id", id), ("name", text())]));
    let may = object(&[("approve", flag()), ("deny", flag()), ("cancel", flag())]);
    let request = object(&[
        ("id", whole()),
        ("state", text()),
        ("item", named(text())),
        ("group", group()),
        ("jump_policy", named(whole())),
        ("requester", named(whole())),
        ("approvers", text()),
        ("applies_to", text()),
        ("reason", text()),
        ("start", text()),
        ("end", text()),
        ("duration", whole()),
        ("duration_text", text()),
        ("submitted_at", text()),
        ("mine", flag()),
        ("over", flag()),
        ("may", RefOr::T(may)),
        ("answered_at", perhaps(Type::String)),
        ("comments", perhaps(Type::String)),
        ("answered_by", text()),
        ("undelivered_mails", undelivered_mails()),
    ]);
    vec![
        (
            "AccessRequestForm",
            fields_schema(access_requests::FORM, &[], false),
        ),
        (
            "AccessRequestAnswer",
            fields_schema(access_requests::ANSWER, &[], false),
        ),
        ("AccessRequest", request),
        (
            "ScheduleWithOverride",
            object(&[
                ("timezone", text()),
                (
                    "entries",
                    RefOr::T(Schema::Array(ArrayBuilder::new().items(anything()).build())),
                ),
                ("override_allowed", flag()),
            ]),
        ),
    ]
}

fn permissions() -> Schema {
    let fields: Vec<_> = User::FIELDS
        .iter()
        .filter(|field| field.write == Write::Permissions)
        .copied()
        .collect();
    fields_schema(&fields, &[], true)
}

/// The settings, and Current Status where there is one.
fn ticket_system() -> Schema {
    let mut schema = fields_schema(TicketSystem::FIELDS, TicketSystem::COMPUTED, false);
    if let Schema::Object(settings) = &mut schema {
        let status = object(&[("success", flag()), ("message", text()), ("at", text())]);
        settings
            .properties
            .insert("current_status".to_owned(), RefOr::T(status));
    }
    schema
}

/// The one answer that shows the secret.
fn with_secret() -> Schema {
    let fields: Vec<_> = ApiAccount::FIELDS
        .iter()
        .filter(|field| !field.write_only)
        .copied()
        .collect();
    let mut schema = fields_schema(&fields, ApiAccount::COMPUTED, true);
    if let Schema::Object(object) = &mut schema {
        object.properties.insert("client_secret".to_owned(), text());
    }
    schema
}

fn group() -> RefOr<Schema> {
    RefOr::T(object(&[
        ("type", text()),
        ("id", whole()),
        ("name", text()),
    ]))
}

fn object(members: &[(&'static str, RefOr<Schema>)]) -> Schema {
    let builder = members
        .iter()
        .fold(ObjectBuilder::new(), |builder, (name, schema)| {
            builder.property(*name, schema.clone())
        });
    Schema::Object(builder.build())
}

fn required(mut schema: Schema, names: &[&str]) -> Schema {
    if let Schema::Object(object) = &mut schema {
        object.required = names.iter().map(|name| (*name).to_owned()).collect();
    }
    schema
}

fn of_type(kind: impl Into<SchemaType>) -> RefOr<Schema> {
    RefOr::T(Schema::Object(
        ObjectBuilder::new().schema_type(kind).build(),
    ))
}

fn text() -> RefOr<Schema> {
    of_type(Type::String)
}

fn whole() -> RefOr<Schema> {
    of_type(Type::Integer)
}

fn flag() -> RefOr<Schema> {
    of_type(Type::Boolean)
}

fn perhaps(kind: Type) -> RefOr<Schema> {
    of_type(SchemaType::from_iter([kind, Type::Null]))
}

fn anything() -> RefOr<Schema> {
    of_type(Type::Object)
}

fn texts() -> RefOr<Schema> {
    RefOr::T(Schema::Array(ArrayBuilder::new().items(text()).build()))
}

fn list_of(name: &str) -> RefOr<Schema> {
    let items = RefOr::Ref(Ref::from_schema_name(name));
    RefOr::T(Schema::Array(ArrayBuilder::new().items(items).build()))
}
