//! Calls in.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use jangbu_contracts::codes::Code;
use jangbu_contracts::customer::{Customer, Register, SetMark, StandingChangedV1, Totals};
use jangbu_contracts::marks::CustomerMark;
use jangbu_contracts::problem::Problem;
use jangbu_kernel::date::BusinessDate;
use jangbu_kernel::id::CustomerId;
use jangbu_platform::db::Recall;
use jangbu_platform::http::{BODY_BYTES_MAX, InPath, Keyed, Known, Refused, Strict, json, json_answer, path_id};
use jangbu_platform::openapi::{self, About, Calls, IdempotencyKey};
use jangbu_platform::operators::{self, Desk};
use jangbu_platform::service::World;
use utoipa_axum::routes;
use xxhash_rust::xxh3::xxh3_64;

use crate::flows;

/// Characters of a name at most.
const NAME_CHARS_MAX: usize = 100;

type Answer = Result<Response, Refused>;

const ABOUT: About<'_> = About {
    service: "customer",
    title: "Customers",
    description: "Who customers are, and what restricts them. Names and birth dates are sealed at rest and never logged.",
};

/// The calls under `/customer/v1`.
pub fn router(world: Arc<World>) -> Router {
    let desk = Desk::new(&world.db, &[], Vec::new()).calls();
    let calls = Calls::default()
        .routes(routes!(register))
        .routes(routes!(show))
        .routes(routes!(standing))
        .routes(routes!(set_mark))
        .routes(routes!(totals))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(world);
    openapi::open(&ABOUT, calls.merge(desk))
}

/// Everything that is wrong with a registration.
fn check(body: &Register, today: BusinessDate) -> Result<(), Refused> {
    let mut flaws = Vec::new();
    let mut flaw = |bad: bool, field: &str, why: &str| {
        if bad {
            flaws.push((field.to_owned(), why.to_owned()));
        }
    };
    let unnamed = body.name.trim().is_empty() || body.name.chars().count() > NAME_CHARS_MAX;
    flaw(
        unnamed || body.name.chars().any(char::is_control),
        "name",
        "must have 1 to 100 characters, none of them unseen",
    );
    flaw(body.birth_date > today, "birth_date", "must not lie ahead");
    if flaws.is_empty() { Ok(()) } else { Err(Refused::from(Problem::fields(Code::InvalidField, flaws))) }
}

/// Registers a customer.
#[utoipa::path(
    post, path = "/customers",
    params(IdempotencyKey),
    request_body = Register,
    responses((status = 201, body = Customer)),
)]
async fn register(
    State(world): State<Arc<World>>,
    known: Known,
    Keyed(key): Keyed,
    Strict(body): Strict<Register>,
) -> Answer {
    known.staff()?;
    check(&body, known.now.business_date(world.offset))?;
    let hash = xxh3_64(&serde_json::to_vec(&body).unwrap_or_default());
    match flows::register(&world, &key, hash, &body).await? {
        Recall::Same(answer) if answer.body.starts_with('{') => Ok(json_answer(&answer, false)),
        Recall::Same(kept) => {
            // Kept is the id alone; the rest is as it was registered, since the body is the same.
            let id: CustomerId = serde_json::from_str(&kept.body).map_err(|_| Refused::not_found())?;
            let now = flows::get(&world, id).await?.ok_or_else(Refused::not_found)?;
            let first = Customer { status: "active".into(), kyc: "verified".into(), marks: Vec::new(), ..now };
            json(201, &first, true)
        }
        Recall::KeyReused | Recall::New => {
            Err(Refused::new(Code::KeyReused, "the key came with another request before"))
        }
    }
}

/// One customer; customers see themselves.
#[utoipa::path(
    get, path = "/customers/{id}",
    params(("id" = CustomerId, Path)),
    responses((status = 200, body = Customer)),
)]
async fn show(State(world): State<Arc<World>>, known: Known, InPath(id): InPath<String>) -> Answer {
    let id: CustomerId = path_id(&id)?;
    if !known.may_see(&id.to_string()) {
        return Err(Refused::not_found());
    }
    json(200, &flows::get(&world, id).await?.ok_or_else(Refused::not_found)?, false)
}

/// One customer's standing, for services that need to know now what the event will tell them.
#[utoipa::path(
    get, path = "/customers/{id}/standing",
    params(("id" = CustomerId, Path)),
    responses((status = 200, body = StandingChangedV1)),
)]
async fn standing(State(world): State<Arc<World>>, known: Known, InPath(id): InPath<String>) -> Answer {
    known.staff()?;
    json(200, &flows::standing(&world, path_id(&id)?).await?.ok_or_else(Refused::not_found)?, false)
}

/// Sets or clears a mark (operators); the same again changes nothing.
#[utoipa::path(
    put, path = "/customers/{id}/marks/{mark}",
    params(("id" = CustomerId, Path), ("mark" = inline(CustomerMark), Path)),
    request_body = SetMark,
    responses((status = 200, body = Customer)),
)]
async fn set_mark(
    State(world): State<Arc<World>>,
    known: Known,
    InPath((id, mark)): InPath<(String, String)>,
    Strict(body): Strict<SetMark>,
) -> Answer {
    known.operator()?;
    let id: CustomerId = path_id(&id)?;
    let mark: CustomerMark = path_id(&mark)?;
    operators::reason(&body.reason)?;
    let marked = flows::set_mark(&world, id, mark.name(), &body, &known.caller).await?;
    json(200, &marked.ok_or_else(Refused::not_found)?, false)
}

/// How many customers there are (staff).
#[utoipa::path(get, path = "/totals", responses((status = 200, body = Totals)))]
async fn totals(State(world): State<Arc<World>>, known: Known) -> Answer {
    known.staff()?;
    json(200, &Totals { customers: flows::count(&world).await? }, false)
}
