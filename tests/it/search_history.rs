//! What was searched for is kept, unless the organization forbids it.

use gristmill_tests::{
    site::{Site, eventually},
    world::Travel,
};
use serde_json::json;

#[tokio::test]
async fn searches_are_listed_newest_first_and_can_be_erased() {
    let site = Site::start(Travel::Memory).await;
    site.admin.text("The mill at Wenbourne grinds wheat.", json!({})).await;
    for (query, mode) in [("wheat", "keyword"), ("barley", "keyword"), ("grinding", "hybrid")] {
        site.admin.search(&json!({ "query": query, "mode": mode })).await;
    }
    let listed = site.admin.list("/v1/search-history").await;
    let shown: Vec<_> =
        listed.iter().map(|search| (search["query"].as_str().unwrap(), search["hits"].as_u64().unwrap())).collect();
    assert_eq!(shown, [("grinding", 1), ("barley", 0), ("wheat", 1)]);
    assert_eq!(listed[0]["mode"], "hybrid");
    assert!(
        listed.iter().all(|search| search["took_ms"].is_u64() && search["id"].as_str().unwrap().starts_with("srh_"))
    );
    let page = site.admin.get("/v1/search-history?limit=2").await.is(200).json;
    let rest = site.admin.list(&format!("/v1/search-history?cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!((rest.len(), &rest[0]["query"]), (1, &json!("wheat")));

    // Nobody else sees it.
    let other = site.organization("other", &["admin"]).await;
    assert!(other.list("/v1/search-history").await.is_empty());
    other.delete("/v1/search-history").await.is(204);
    assert_eq!(site.admin.list("/v1/search-history").await.len(), 3);
    site.admin.delete("/v1/search-history").await.is(204);
    assert!(site.admin.list("/v1/search-history").await.is_empty());
}

#[tokio::test]
async fn an_organization_may_forbid_it() {
    let site = Site::start(Travel::Memory).await;
    let org =
        format!("/v1/orgs/{}", site.admin.get("/v1/me").await.is(200).json["organization"]["id"].as_str().unwrap());
    site.admin.search(&json!({ "query": "wheat" })).await;
    let change = async |kept: bool| {
        let request = site.admin.request(reqwest::Method::PATCH, &org).json(&json!({ "search_history": kept }));
        gristmill_tests::site::Answer::to(request).await.is(200).json
    };
    assert_eq!(change(false).await["search_history"], false);
    assert!(site.admin.list("/v1/search-history").await.is_empty(), "what was kept is erased");
    site.admin.search(&json!({ "query": "rye" })).await;
    assert!(site.admin.list("/v1/search-history").await.is_empty());
    assert_eq!(change(true).await["search_history"], true);
    site.admin.search(&json!({ "query": "oats" })).await;
    let kept = eventually("the search", async || site.admin.list("/v1/search-history").await.pop()).await;
    assert_eq!(kept["query"], "oats");
    // Another organization's is not to be changed, unless by those who run the installation.
    let other = site.organization("other", &["admin"]).await;
    let request = other.request(reqwest::Method::PATCH, &org).json(&json!({ "search_history": false }));
    gristmill_tests::site::Answer::to(request).await.problem(404, "not-found");
}
