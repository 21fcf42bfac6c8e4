//! The OpenAPI document, `/api/openapi.json`: paths from the table of routes, schemas from the records' tables, so neither can
//! say something else than the server does.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use domain::Surface;
use domain::access::group_policy::GroupPolicy;
use domain::access::jump_group::JumpGroup;
use domain::access::role::JumpItemRole;
use domain::fleet::installer::JumpClientInstaller;
use domain::fleet::jump_client::Properties;
use domain::items::jumpoint::Jumpoint;
use domain::items::shell::ShellJump;
use domain::policy::jump_policy::JumpPolicy;
use domain::policy::session_policy::SessionPolicy;
use domain::record::{Field, Kind, Record, Write};
use domain::site::api_account::ApiAccount;
use domain::site::mail_settings::MailSettings;
use domain::site::settings::SiteSettings;
use domain::site::team::Team;
use domain::site::user::User;
use serde_json::json;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ComponentsBuilder, KnownFormat, ObjectBuilder,
    OneOfBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::security::{
    ClientCredentials, Flow, HttpAuthScheme, HttpBuilder, OAuth2, Scopes, SecurityRequirement,
    SecurityScheme,
};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, ResponseBuilder,
    Schema,
};

use crate::access::{Access, Permission};
use crate::configuration::listing::FILTER_CHARS_MIN;
use crate::configuration::resource::{Fixed, Resource};
use crate::configuration::{
    self, group_policy, group_policy_member, group_policy_row, jump_approval, jump_group_user,
    jumpoint_user, shell_jump, team_user, user_group_policies,
};
use crate::console;
use crate::error::Problem;
use crate::oauth::TOKEN_PATH;
use crate::route::{About, Gives, Route, Routes, for_api_accounts_and_users};
use crate::site::Site;

/// Where the document of every JSON surface is.
pub const PATH: &str = "/api/openapi.json";

/// Where integrations look for the Configuration API's own document (CONF-02), below the prefix of that API.
pub const YAML_PATH: &str = "/api/config/v1/openapi.yaml";

/// Both documents, made once from the table of routes.
pub(crate) struct Documents {
    whole: OpenApi,
    configuration: OpenApi,
}

impl Documents {
    /// The documents for a table of routes.
    pub(crate) fn new(version: &str, table: &[Route]) -> Self {
        let configuration: Vec<Route> = table
            .iter()
            .filter(|route| route.path.starts_with(configuration::BASE))
            .cloned()
            .collect();
        Self {
            whole: document(version, table),
            configuration: document(version, &configuration),
        }
    }
}

/// Any API account, and everybody who signed in, may read the whole document (CONF-06).
pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let about = About::new("Describes every JSON surface.").gives(Gives::Text("application/json"));
    let routes = Routes::new(site).route(
        Method::GET,
        PATH,
        Access::ApiAccount(Permission::Any),
        about,
        get,
    );
    for_api_accounts_and_users(routes, None, Surface::ConfigurationApi)
}

/// The route of the Configuration API's own document; it stands among that API's other routes.
pub(crate) fn yaml_route(routes: Routes) -> Routes {
    let about =
        About::new("Describes the Configuration API.").gives(Gives::Text("application/yaml"));
    routes.route(
        Method::GET,
        YAML_PATH,
        Access::ApiAccount(Permission::Any),
        about,
        get_yaml,
    )
}

async fn get(Extension(documents): Extension<Arc<Documents>>) -> Response {
    ([(CONTENT_TYPE, "application/json")], Json(&documents.whole)).into_response()
}

async fn get_yaml(Extension(documents): Extension<Arc<Documents>>) -> Response {
    match documents.configuration.to_yaml() {
        Ok(text) => ([(CONTENT_TYPE, "application/yaml")], text).into_response(),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the OpenAPI document can't be written as YAML"
            );
            Problem::internal().to_json()
        }
    }
}

/// The document for a table of routes.
#[must_use]
pub fn document(version: &str, table: &[Route]) -> OpenApi {
    let info = InfoBuilder::new()
        .title("Gatebook")
        .version(version)
        .description(Some(
            "Privileged remote access: what may be configured, who may jump where, and the jumps themselves.",
        ));
    let paths = table.iter().fold(
        BTreeMap::new(),
        |mut paths: BTreeMap<String, PathItem>, route| {
            if let Some(method) = http_method(&route.method) {
                let item = PathItem::new(method, operation(route));
                paths
                    .entry(route.path.clone())
                    .or_default()
                    .merge_operations(item);
            }
            paths
        },
    );
    let paths = paths
        .into_iter()
        .fold(PathsBuilder::new(), |builder, (path, item)| {
            builder.path(path, item)
        });
    OpenApiBuilder::new()
        .info(info.build())
        .paths(paths)
        .components(Some(components()))
        .build()
}

fn http_method(method: &Method) -> Option<HttpMethod> {
    match *method {
        Method::GET => Some(HttpMethod::Get),
        Method::POST => Some(HttpMethod::Post),
        Method::PUT => Some(HttpMethod::Put),
        Method::PATCH => Some(HttpMethod::Patch),
        Method::DELETE => Some(HttpMethod::Delete),
        _ => None,
    }
}

fn operation(route: &Route) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .summary(Some(route.about.summary))
        .operation_id(Some(operation_id(route)))
        .tag(tag(&route.path));
    for name in path_parameters(&route.path) {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(path_parameter_schema(name))),
        );
    }
    for field in &route.about.filters {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(field.name)
                .parameter_in(ParameterIn::Query)
                .description(Some("Exact, without regard to case."))
                .schema(Some(kind_schema(field, false))),
        );
    }
    if let Gives::Page(_) = route.about.gives {
        operation = operation
            .parameter(paging_parameter(
                "per_page",
                Some(1),
                100,
                100,
                "Members of a page; fewer than 5 counts as 5.",
            ))
            .parameter(paging_parameter(
                "current_page",
                None,
                i64::from(i32::MAX),
                1,
                "Which page; below 1 is the first.",
            ));
    }
    if let Some(schema) = route.about.takes {
        let content = ContentBuilder::new()
            .schema(Some(reference(schema)))
            .build();
        let media_type = if route.path == TOKEN_PATH {
            "application/x-www-form-urlencoded"
        } else {
            "application/json"
        };
        operation = operation.request_body(Some(
            RequestBodyBuilder::new()
                .content(media_type, content)
                .build(),
        ));
    }
    let operation = with_responses(operation, route);
    match route.access {
        Access::Anyone | Access::Probe | Access::Agent => operation,
        // Either of them.
        Access::ApiAccount(_)
            if route.path.starts_with(configuration::BASE) || route.path == PATH =>
        {
            operation
                .security(security("api_account"))
                .security(security("console_sign_in"))
        }
        Access::ApiAccount(_) => operation.security(security("api_account")),
        Access::User | Access::Administrator => operation.security(security("console_sign_in")),
    }
}

fn security(scheme: &str) -> SecurityRequirement {
    SecurityRequirement::new::<_, [&str; 0], &str>(scheme, [])
}

fn with_responses(mut operation: OperationBuilder, route: &Route) -> OperationBuilder {
    let (status, media_type, schema): (&str, &str, Option<RefOr<Schema>>) = match route.about.gives
    {
        Gives::Nothing => ("204", "", None),
        Gives::Upgrade => ("101", "", None),
        Gives::One(schema) => ("200", "application/json", Some(reference(schema))),
        Gives::Created(schema) => ("201", "application/json", Some(reference(schema))),
        Gives::Page(schema) | Gives::List(schema) => (
            "200",
            "application/json",
            Some(RefOr::T(Schema::Array(
                ArrayBuilder::new().items(reference(schema)).build(),
            ))),
        ),
        Gives::Text(media_type) => (
            "200",
            media_type,
            Some(RefOr::T(Schema::Object(
                ObjectBuilder::new()
                    .schema_type(SchemaType::AnyValue)
                    .build(),
            ))),
        ),
    };
    let mut well = ResponseBuilder::new().description("Done.");
    if let Some(schema) = schema {
        well = well.content(
            media_type,
            ContentBuilder::new().schema(Some(schema)).build(),
        );
    }
    operation = operation.response(status, well.build());
    for (status, also) in also_given(&route.about.also) {
        let content = ContentBuilder::new().schema(Some(also)).build();
        let response = ResponseBuilder::new()
            .description("Done, or under way.")
            .content("application/json", content);
        operation = operation.response(status.as_str(), response.build());
    }
    let is_open = matches!(route.access, Access::Anyone | Access::Probe | Access::Agent);
    let takes_input = route.about.takes.is_some() || !route.about.filters.is_empty();
    // status, words, whether it can come from this route
    let problems = [
        (
            "400",
            "The request can't be read.",
            route.about.takes.is_some(),
        ),
        ("401", "No token, or one that is not good.", !is_open),
        ("403", "Not permitted.", !is_open),
        ("404", "Not found.", route.path.contains('{')),
        (
            "409",
            "The state of things does not allow it.",
            route.method != Method::GET,
        ),
        (
            "412",
            "Not what If-Match names: changed or deleted since it was read, or without an entity tag.",
            route.method != Method::GET,
        ),
        ("413", "The body is too large.", route.about.takes.is_some()),
        ("422", "Fields or parameters are not right.", takes_input),
        ("429", "Too many requests.", route.access != Access::Probe),
        ("503", "Not now; Retry-After says when.", true),
    ];
    for (status, words, _) in problems.into_iter().filter(|(_, _, there)| *there) {
        let content = ContentBuilder::new()
            .schema(Some(reference("Problem")))
            .build();
        let response = ResponseBuilder::new()
            .description(words)
            .content("application/json", content)
            .build();
        operation = operation.response(status, response);
    }
    operation
}

/// Per status what is given: where several schemas have the same one, either of them.
fn also_given(also: &[(StatusCode, &'static str)]) -> BTreeMap<StatusCode, RefOr<Schema>> {
    let mut given: BTreeMap<StatusCode, Vec<&str>> = BTreeMap::new();
    for (status, schema) in also {
        given.entry(*status).or_default().push(schema);
    }
    let either = |schemas: Vec<&str>| match schemas[..] {
        [schema] => reference(schema),
        _ => {
            let either = schemas
                .into_iter()
                .fold(OneOfBuilder::new(), |either, schema| {
                    either.item(reference(schema))
                });
            RefOr::T(Schema::OneOf(either.build()))
        }
    };
    let given = given.into_iter();
    given
        .map(|(status, schemas)| (status, either(schemas)))
        .collect()
}

/// `get_jump_group_by_id` for `GET /api/config/v1/jump-group/{id}`.
fn operation_id(route: &Route) -> String {
    let words = route
        .path
        .trim_start_matches("/api/")
        .trim_start_matches("config/v1/")
        .trim_matches('/')
        .split('/')
        .map(|part| match part.strip_prefix('{') {
            Some(name) => format!("by_{}", name.trim_end_matches('}')),
            None => part.to_owned(),
        });
    let words: Vec<String> = words.collect();
    let name = format!(
        "{}_{}",
        route.method.as_str().to_lowercase(),
        words.join("_")
    );
    name.replace(['-', '.'], "_")
}

fn tag(path: &str) -> &'static str {
    if path.starts_with("/api/config/") {
        "Configuration API"
    } else if path.starts_with("/api/console/") {
        "Console API"
    } else {
        "Site"
    }
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn path_parameter_schema(name: &str) -> RefOr<Schema> {
    if name == "id" || name.ends_with("_id") {
        RefOr::T(Schema::Object(id_schema().build()))
    } else {
        RefOr::T(Schema::Object(
            ObjectBuilder::new().schema_type(Type::String).build(),
        ))
    }
}

fn paging_parameter(
    name: &'static str,
    least: Option<i64>,
    most: i64,
    default: i64,
    about: &'static str,
) -> ParameterBuilder {
    let schema = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(least)
        .maximum(Some(most))
        .default(Some(json!(default)));
    ParameterBuilder::new()
        .name(name)
        .description(Some(about))
        .parameter_in(ParameterIn::Query)
        .schema(Some(Schema::Object(schema.build())))
}

fn reference(schema: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(schema))
}

fn components() -> utoipa::openapi::Components {
    let flow = Flow::ClientCredentials(ClientCredentials::new(TOKEN_PATH, Scopes::new()));
    let sign_in = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let mut components = ComponentsBuilder::new()
        .security_scheme("api_account", SecurityScheme::OAuth2(OAuth2::new([flow])))
        .security_scheme("console_sign_in", SecurityScheme::Http(sign_in));
    for (name, schema) in schemas().into_iter().chain(console::schemas::schemas()) {
        components = components.schema(name, schema);
    }
    components.build()
}

/// Every schema that a route may name. The console's are its records, and small ones of its own.
fn schemas() -> Vec<(&'static str, Schema)> {
    let text = || Schema::Object(ObjectBuilder::new().schema_type(Type::String).build());
    let whole = || Schema::Object(ObjectBuilder::new().schema_type(Type::Integer).build());
    let texts = || Schema::Array(ArrayBuilder::new().items(RefOr::T(text())).build());
    let object = |members: Vec<(&str, Schema)>| {
        let builder = members
            .into_iter()
            .fold(ObjectBuilder::new(), |builder, (name, schema)| {
                builder.property(name, schema)
            });
        Schema::Object(builder.build())
    };
    let ids = || Schema::Array(ArrayBuilder::new().items(RefOr::T(whole())).build());
    let entry = object(vec![
        ("start_day", whole()),
        ("start_time", text()),
        ("end_day", whole()),
        ("end_time", text()),
    ]);
    let field_errors = ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::from(texts())))
        .build();
    vec![
        ("JumpGroup", resource_schema::<JumpGroup>()),
        (
            "JumpGroupUser",
            fields_schema(jump_group_user::FIELDS, &[], false),
        ),
        ("Team", resource_schema::<Team>()),
        (
            team_user::SCHEMA,
            fields_schema(team_user::FIELDS, &[], false),
        ),
        ("GroupPolicy", resource_schema::<GroupPolicy>()),
        (
            group_policy::COPY_SCHEMA,
            fields_schema(group_policy::COPY_FIELDS, &[], false),
        ),
        (
            group_policy_member::SCHEMA,
            fields_schema(group_policy_member::FIELDS, &[], true),
        ),
        (
            "GroupPolicyJumpGroup",
            fields_schema(group_policy_row::JumpGroups::LINES, &[], false),
        ),
        (
            "GroupPolicyTeam",
            fields_schema(group_policy_row::Teams::LINES, &[], false),
        ),
        (
            "GroupPolicyJumpoint",
            fields_schema(group_policy_row::Jumpoints::LINES, &[], false),
        ),
        (
            user_group_policies::SCHEMA,
            object(vec![("id", whole()), ("name", text())]),
        ),
        (
            user_group_policies::CHANGES_SCHEMA,
            object(vec![("added", ids()), ("removed", ids())]),
        ),
        (
            user_group_policies::PROVISION_SCHEMA,
            object(vec![("user_ids", ids())]),
        ),
        ("JumpClient", resource_schema::<Properties>()),
        ("ShellJumpItem", resource_schema::<ShellJump>()),
        ("Jumpoint", resource_schema::<Jumpoint>()),
        (
            "JumpointUser",
            fields_schema(jumpoint_user::FIELDS, &[], false),
        ),
        ("SessionPolicy", resource_schema::<SessionPolicy>()),
        (
            shell_jump::COPY_SCHEMA,
            fields_schema(shell_jump::COPY_FIELDS, &[], false),
        ),
        (
            shell_jump::COPIED_SCHEMA,
            object(vec![
                ("action", text()),
                ("success", text()),
                ("destId", whole()),
            ]),
        ),
        (
            "JumpClientInstaller",
            resource_schema::<JumpClientInstaller>(),
        ),
        ("User", resource_schema::<User>()),
        ("JumpPolicy", resource_schema::<JumpPolicy>()),
        (
            "JumpAuthorizationRequest",
            fields_schema(jump_approval::FIELDS, &[], true),
        ),
        (
            "JumpApprovalAnswer",
            fields_schema(jump_approval::ANSWER, &[], false),
        ),
        (
            "JumpApprovalRequest",
            fields_schema(jump_approval::REQUEST, &[], false),
        ),
        ("Message", object(vec![("message", text())])),
        ("JumpItemRole", resource_schema::<JumpItemRole>()),
        ("ApiAccount", resource_schema::<ApiAccount>()),
        (
            "SiteSettings",
            fields_schema(SiteSettings::FIELDS, SiteSettings::COMPUTED, false),
        ),
        (
            "MailSettings",
            fields_schema(MailSettings::FIELDS, MailSettings::COMPUTED, false),
        ),
        (
            "Schedule",
            object(vec![
                ("timezone", text()),
                (
                    "entries",
                    Schema::Array(ArrayBuilder::new().items(RefOr::T(entry)).build()),
                ),
            ]),
        ),
        (
            "Problem",
            object(vec![
                ("message", text()),
                ("code", text()),
                ("error", text()),
                ("refusal", text()),
                ("errors", Schema::Object(field_errors)),
            ]),
        ),
        (
            "TicketAnswer",
            object(vec![
                ("response_id", text()),
                ("response", text()),
                ("message", text()),
            ]),
        ),
        (
            "TicketAnswered",
            object(vec![(
                "accepted",
                Schema::Object(ObjectBuilder::new().schema_type(Type::Boolean).build()),
            )]),
        ),
        (
            "TokenRequest",
            object(vec![
                ("grant_type", text()),
                ("client_id", text()),
                ("client_secret", text()),
            ]),
        ),
        (
            "Token",
            object(vec![
                ("access_token", text()),
                ("token_type", text()),
                ("expires_in", whole()),
            ]),
        ),
        (
            "MechList",
            object(vec![
                ("mechs", texts()),
                ("default_mech", text()),
                ("cache", text()),
                ("company", text()),
                ("product", text()),
            ]),
        ),
    ]
}

fn resource_schema<R: Resource>() -> Schema {
    let fields: Vec<Field> = R::FIELDS
        .iter()
        .filter(|field| !R::INTERNAL.contains(&field.name))
        .copied()
        .collect();
    let Schema::Object(mut object) = fields_schema(&fields, R::COMPUTED, true) else {
        return Schema::default();
    };
    for (name, fixed) in R::FIXED {
        let schema = match fixed {
            Fixed::False => Type::Boolean,
            Fixed::Zero => Type::Integer,
            Fixed::Word(_) => Type::String,
            // Never shown.
            Fixed::Absent => Type::String,
        };
        // What an installer shows under this name is a map.
        let schema = if *name == "key_info" {
            Type::Object
        } else {
            schema
        };
        let member = ObjectBuilder::new().schema_type(schema).read_only(true);
        object
            .properties
            .insert((*name).to_owned(), RefOr::T(Schema::Object(member.build())));
    }
    Schema::Object(object)
}

/// The schema of a record from its table.
#[must_use]
pub fn fields_schema(fields: &[Field], computed: &[Field], with_id: bool) -> Schema {
    let mut builder = ObjectBuilder::new();
    if with_id {
        builder = builder.property("id", Schema::Object(id_schema().read_only(true).build()));
    }
    for field in fields.iter().chain(computed) {
        builder = builder.property(field.name, kind_schema(field, true));
        if field.required {
            builder = builder.required(field.name);
        }
    }
    Schema::Object(builder.build())
}

fn id_schema() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
        .minimum(Some(1))
        .maximum(Some(i32::MAX))
}

/// The schema of one field. `in_body` adds what only concerns bodies: null, read-only, write-only.
fn kind_schema(field: &Field, in_body: bool) -> Schema {
    let nullable = in_body && field.nullable;
    let of_type = |kind: Type| {
        if nullable {
            SchemaType::from_iter([kind, Type::Null])
        } else {
            SchemaType::new(kind)
        }
    };
    let text = |min: usize, max: usize| {
        ObjectBuilder::new()
            .schema_type(of_type(Type::String))
            .min_length((min > 0).then_some(min))
            .max_length(Some(max))
    };
    let builder = match field.kind {
        Kind::Id => id_schema().schema_type(of_type(Type::Integer)),
        // A filter may look for more than can be stored, and not for nothing; see `listing`.
        Kind::Text { max, .. } | Kind::Name { max, .. } if field.filter && !in_body => {
            text(1, max.max(FILTER_CHARS_MIN))
        }
        Kind::Text { min, max } | Kind::Name { min, max } => text(min, max),
        Kind::Language => text(2, 10),
        Kind::CodeName => text(0, 64).pattern(Some(r"^[a-zA-Z0-9_\\-]*$")),
        Kind::Secret { max } => {
            text(1, max).format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
        }
        Kind::Boolean => ObjectBuilder::new().schema_type(of_type(Type::Boolean)),
        Kind::Integer { min, max } => ObjectBuilder::new()
            .schema_type(of_type(Type::Integer))
            .minimum(Some(min))
            .maximum(Some(max)),
        Kind::Word(words) => ObjectBuilder::new()
            .schema_type(of_type(Type::String))
            .enum_values(Some(words.iter().copied())),
        Kind::Texts {
            members_max,
            text_max,
        } => {
            let member = ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(1))
                .max_length(Some(text_max));
            return Schema::Array(
                ArrayBuilder::new()
                    .items(RefOr::T(Schema::Object(member.build())))
                    .max_items(Some(members_max))
                    .description(Some(field.about))
                    .build(),
            );
        }
        Kind::AddressRanges { members_max } => {
            let address = || {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .max_length(Some(45))
            };
            let member = ObjectBuilder::new()
                .schema_type(Type::Object)
                .property("start", address())
                .property("end", address())
                .required("start")
                .required("end");
            return Schema::Array(
                ArrayBuilder::new()
                    .items(RefOr::T(Schema::Object(member.build())))
                    .max_items(Some(members_max))
                    .description(Some(field.about))
                    .build(),
            );
        }
        Kind::Moment => ObjectBuilder::new()
            .schema_type(of_type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
    };
    let builder = builder.description(Some(field.about));
    let builder = if in_body {
        builder
            .read_only(field.write == Write::Never)
            .write_only(field.write_only)
    } else {
        builder
    };
    Schema::Object(builder.build())
}
