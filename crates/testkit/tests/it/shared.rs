//! On shared servers every test has a corner of its own.

#[tokio::test]
async fn every_test_has_a_vhost_of_its_own() {
    let rabbitmq = testkit::rabbitmq().await.expect("a shared RabbitMQ");
    let one = rabbitmq.vhost().await.expect("a vhost");
    let other = rabbitmq.vhost().await.expect("another");
    assert_ne!(one.url(), other.url());

    let gone = one.name().to_owned();
    one.close().await.expect("it is deleted");

    let vhosts = rabbitmq
        .management()
        .get("vhosts")
        .await
        .expect("the list")
        .to_string();
    assert!(
        !vhosts.contains(&gone) && vhosts.contains(other.name()),
        "{vhosts}"
    );
}

#[tokio::test]
async fn every_test_has_a_schema_of_its_own() {
    let postgres = testkit::postgres().await.expect("a shared Postgres");
    let one = postgres.database().await.expect("a schema");
    let other = postgres.database().await.expect("another");
    let client = one.connect().await.expect("it takes connections");
    client
        .batch_execute("CREATE TABLE mine (n int)")
        .await
        .expect("a table");

    let row = client
        .query_one("SELECT current_schema()", &[])
        .await
        .expect("a row");
    assert_eq!(row.get::<_, String>(0), one.schema());
    let neighbour = other.connect().await.expect("it takes connections");
    let seen = neighbour.batch_execute("SELECT * FROM mine").await;
    assert!(seen.is_err(), "the neighbour sees the table");
}

#[tokio::test]
async fn a_schema_is_gone_with_its_handle() {
    let postgres = testkit::postgres().await.expect("a shared Postgres");
    let kept = postgres.database().await.expect("a schema");
    let dropped = postgres.database().await.expect("another");
    let name = dropped.schema().to_owned();
    drop(dropped);

    let client = kept.connect().await.expect("it takes connections");
    let question = "SELECT count(*) FROM pg_namespace WHERE nspname = $1";
    let row = client.query_one(question, &[&name]).await.expect("a count");
    assert_eq!(row.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn the_shared_redis_has_a_url() {
    let redis = testkit::redis().await.expect("a shared Redis");
    assert!(redis.url().starts_with("redis://"));
}
