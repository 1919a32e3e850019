//! The API document against the calls that it tells of.

use super::world::World;

#[tokio::test]
async fn the_document_tells_what_is_served() {
    let world = World::new().await;
    assert_eq!(world.document_flaws().await, Vec::<String>::new());
    let document = world.document().await.unwrap();
    let paths: Vec<&str> = document.calls().map(|(_, path, _)| path).collect();
    for path in ["/rates", "/quotes", "/exchanges", "/exchanges/{id}", "/limits/{customer}", "/approvals/{id}"] {
        assert!(paths.contains(&format!("/exchange/v1{path}").as_str()), "{path} is missing");
    }
}
