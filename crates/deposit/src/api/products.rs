//! Calls about products.

use axum::extract::State;
use axum::response::Response;
use jangbu_contracts::codes::Code;
use jangbu_contracts::page::Page;
use jangbu_contracts::problem::Problem;
use jangbu_contracts::products::{Product, Terms};
use jangbu_kernel::date::BusinessDate;
use jangbu_platform::db::Fault;
use jangbu_platform::http::{InPath, Known, Params, Refused, Strict, json};
use jangbu_platform::paging;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Api, wire as convert};
use crate::flows::products::add_version;
use crate::store;

type Answer = Result<Response, Refused>;

/// Versions by product, in the order of codes.
async fn versions(api: &Api, wanted: impl Fn(&str) -> bool) -> Result<Vec<Vec<Terms>>, Refused> {
    let mut tx = api.ledger.db.read("deposit.products").await?;
    let mut products: Vec<Vec<Terms>> = Vec::new();
    for (code, _, text) in store::products::all(&mut tx).await?.into_iter().filter(|(code, ..)| wanted(code)) {
        let terms: Terms = serde_json::from_str(&text).map_err(|e| Fault::Damaged(e.to_string()))?;
        let terms = terms.complete();
        match products.last_mut().filter(|versions| versions[0].code == code) {
            Some(versions) => versions.push(terms),
            None => products.push(vec![terms]),
        }
    }
    Ok(products)
}

/// A product with the terms that hold on `today`; the first ones, when none hold yet.
fn shown(versions: Vec<Terms>, today: BusinessDate) -> Product {
    let holding = versions.iter().rfind(|v| v.from <= today).unwrap_or(&versions[0]);
    Product { terms: holding.clone(), versions }
}

/// Query of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Items of a page: 1-500, 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the last answer.
    cursor: Option<String>,
}

/// Products, by code.
#[utoipa::path(get, path = "/products", params(List), responses((status = 200, body = Page<Product>)))]
pub async fn list_products(State(api): State<Api>, known: Known, Params(query): Params<List>) -> Answer {
    let limit = paging::limit(query.limit)?;
    let after = query.cursor.unwrap_or_default();
    let today = convert::today(&api.ledger, known.now);
    let products = versions(&api, |code| code > after.as_str()).await?;
    let mut items: Vec<Product> = products.into_iter().take(limit as usize + 1).map(|v| shown(v, today)).collect();
    let next = paging::next(&mut items, limit, |product| product.terms.code.clone());
    json(200, &Page { items, next }, false)
}

/// One product.
#[utoipa::path(
    get, path = "/products/{code}",
    params(("code" = String, Path)),
    responses((status = 200, body = Product)),
)]
pub async fn show_product(State(api): State<Api>, known: Known, InPath(code): InPath<String>) -> Answer {
    let found = versions(&api, |c| c == code).await?.pop().ok_or_else(Refused::not_found)?;
    json(200, &shown(found, convert::today(&api.ledger, known.now)), false)
}

/// Adds a version of a product's terms (operators).
///
/// A version that stands is never changed. The same again changes nothing.
#[utoipa::path(
    put, path = "/products/{code}",
    params(("code" = String, Path)),
    request_body = Terms,
    responses((status = 200, body = Terms)),
)]
pub async fn put_product(
    State(api): State<Api>,
    known: Known,
    InPath(code): InPath<String>,
    Strict(body): Strict<Terms>,
) -> Answer {
    known.operator()?;
    let body = body.complete();
    if body.code != code {
        return Err(Refused::field(Code::InvalidField, "code", "must be the code of the path"));
    }
    match add_version(&api.ledger, &body, convert::today(&api.ledger, known.now), &known.caller.to_string()).await? {
        Ok(()) => json(200, &body, false),
        Err(flaws) => Err(Refused::from(Problem::fields(Code::TermsInvalid, flaws))),
    }
}
