//! The API document against the calls that it tells of.

use super::world::World;

#[tokio::test]
async fn the_document_tells_what_is_served() {
    let world = World::krw().await;
    assert_eq!(world.document_flaws().await, Vec::<String>::new());
    let document = world.document().await.unwrap();
    let paths: Vec<&str> = document.calls().map(|(_, path, _)| path).collect();
    for path in ["/accounts", "/accounts/{id}/interest-claims", "/postings/batch", "/interest-simulations", "/audit"] {
        assert!(paths.contains(&format!("/deposit-krw/v1{path}").as_str()), "{path} is missing");
    }
}
