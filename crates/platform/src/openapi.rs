//! The API document of each service, made from the routes that serve it, so that the two can't drift.
//!
//! How a service does it:
//! 1. Each handler says what it is, right above it. The first line of its docstring is the summary, the rest the
//!    description; its name is the operation's id.
//!    ```text
//!    /// One account.
//!    #[utoipa::path(get, path = "/accounts/{id}", params(("id" = AccountId, Path)),
//!        responses((status = 200, body = Account)))]
//!    pub async fn get(…) -> Answer { … }
//!    ```
//!    A call that needs a key has `params(IdempotencyKey)`; the query type derives `IntoParams` with
//!    `#[into_params(parameter_in = Query)]`; wire types derive `ToSchema`.
//! 2. Routes are made from handlers: `Calls::new().routes(routes!(get, put))`, handlers of one path in one `routes!`.
//! 3. [`open`] puts them under `/{service}/v1` and adds `GET /{service}/v1/openapi.json`, which needs no credential: it
//!    holds nothing of the bank.
//!
//! What all calls share is added here, not by handlers: the bearer token, problems, "busy" with its `Retry-After`, and
//! the header that tells a replay. And what is not documented is not taken: unknown parameters of a query are refused.

mod conform;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jangbu_contracts::codes::Code;
use jangbu_contracts::problem::Problem;
use serde_json::{Value, json};
use utoipa::{IntoParams, PartialSchema, ToSchema};
pub use utoipa_axum::router::OpenApiRouter as Calls;

use crate::http::Refused;

pub use conform::Document;

/// Characters of an unknown parameter's name that are told back at most.
const NAME_CHARS_MAX: usize = 64;
/// Methods that an item of a path may have.
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// What a document says of its service.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The service's name, the first segment of its paths.
    pub service: &'a str,
    /// Name for people.
    pub title: &'a str,
    /// What it does, in a few sentences.
    pub description: &'a str,
}

/// The header of calls that change money or a contract.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IdempotencyKey {
    /// 1-64 printable ASCII characters, chosen by the caller. Sent again with the same body, the call gives the same
    /// answer and does nothing.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 64,
        pattern = "^[ -~]{1,64}$",
        example = "order-4711"
    )]
    pub key: String,
}

/// The service's router, with its document beside the calls.
pub fn open(about: &About<'_>, calls: Calls) -> Router {
    let root = format!("/{}/v1", about.service);
    let (router, document) = Calls::default().nest(&root, calls).split_for_parts();
    let document = serde_json::to_value(&document).expect("a document is plain data");
    let document = complete(document, about);
    let queries = Arc::new(queries(&document));
    let text = Bytes::from(document.to_string());
    let show = move || async move { ([(header::CONTENT_TYPE, "application/json")], text) };
    router
        .route(&format!("{root}/openapi.json"), get(show))
        .layer(middleware::from_fn_with_state(queries, only_known_queries))
}

/// Parameters of the query by method and path, as documented.
type Queries = HashMap<(Method, String), Vec<String>>;

fn queries(document: &Value) -> Queries {
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| METHODS.iter().map(move |method| (path, *method, &item[*method])));
    let names = |operation: &Value| {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        parameters.filter(|p| p["in"] == "query").filter_map(|p| p["name"].as_str().map(str::to_owned)).collect()
    };
    let method = |name: &str| Method::from_bytes(name.to_uppercase().as_bytes()).unwrap_or(Method::GET);
    operations.map(|(path, name, operation)| ((method(name), path.clone()), names(operation))).collect()
}

/// Refuses parameters of the query that the call doesn't have; handlers without any would not see them.
async fn only_known_queries(State(queries): State<Arc<Queries>>, request: Request, next: Next) -> Response {
    if let Some(query) = request.uri().query().filter(|query| !query.is_empty()) {
        let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let known = queries.get(&(method.clone(), path.to_owned())).map_or(&[][..], Vec::as_slice);
        for name in query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap_or("")) {
            if !known.iter().any(|known| known == name) {
                let name: String = name.chars().take(NAME_CHARS_MAX).collect();
                let why = "is no parameter of this call; its document names those it has";
                return Refused::field(Code::UnknownField, name, why).into_response();
            }
        }
    }
    next.run(request).await
}

/// Adds what all calls share.
fn complete(mut document: Value, about: &About<'_>) -> Value {
    let (title, description, version) = (about.title, about.description, env!("CARGO_PKG_VERSION"));
    document["info"] = json!({"title": title, "description": description, "version": version});
    document["security"] = json!([{"bearer": []}]);
    let components = &mut document["components"];
    components["securitySchemes"]["bearer"] = json!({
        "type": "http", "scheme": "bearer", "bearerFormat": "JWS",
        "description": "A token signed with the bank's key, from `jangbu token` or the files beside the data.",
    });
    components["schemas"]["Problem"] = json!(Problem::schema());
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    for (name, schema) in schemas {
        components["schemas"][name] = json!(schema);
    }
    let problem = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    components["responses"]["Problem"] = json!({
        "description": "Nothing was changed, unless the page of the code says otherwise. `code` is stable; see docs/codes.",
        "content": problem,
    });
    components["responses"]["Busy"] = json!({
        "description": "Try again with the same key after the seconds of Retry-After.",
        "headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}},
        "content": problem,
    });
    for item in document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut()) {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method) {
                complete_operation(operation);
            }
        }
    }
    document
}

fn complete_operation(operation: &mut Value) {
    let keyed = operation["parameters"].as_array().into_iter().flatten().any(|p| p["name"] == "Idempotency-Key");
    let responses = &mut operation["responses"];
    for (status, response) in [("4XX", "Problem"), ("429", "Busy"), ("5XX", "Problem"), ("503", "Busy")] {
        responses[status] = json!({"$ref": format!("#/components/responses/{response}")});
    }
    for (status, response) in responses.as_object_mut().into_iter().flatten() {
        if !status.starts_with('2') {
            continue;
        }
        if response["description"].as_str().is_none_or(str::is_empty) {
            response["description"] = json!(if status == "202" { "It waits for a second person." } else { "Done." });
        }
        if keyed {
            response["headers"]["Idempotent-Replay"] = json!({
                "description": "`true` when this answer was given before under the same key.",
                "schema": {"type": "string", "enum": ["true"]},
            });
        }
    }
}
