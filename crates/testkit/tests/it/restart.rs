//! A killed server comes back on the same port with what it had stored.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Cluster, Postgres, RabbitMq, Redis, Vhost, wait_until};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn postgres_keeps_what_was_committed() {
    let mut postgres = Postgres::start_durable().await.expect("postgres starts");
    let database = postgres.database().await.expect("a schema");
    let before = database.connect().await.expect("it takes connections");
    before
        .batch_execute("CREATE TABLE kept AS SELECT 7 AS n")
        .await
        .expect("a table");

    postgres.kill().expect("it runs");
    postgres.restart().await.expect("it starts again");

    let after = database.connect().await.expect("on the same port");
    let row = after
        .query_one("SELECT n FROM kept", &[])
        .await
        .expect("the table");
    assert_eq!(row.get::<_, i32>(0), 7);
}

#[tokio::test]
async fn postgres_answers_again_after_a_freeze() {
    let mut postgres = Postgres::start().await.expect("postgres starts");
    let database = postgres.database().await.expect("a schema");
    let client = database.connect().await.expect("it takes connections");

    postgres.freeze().expect("it runs");
    let question = client.simple_query("SELECT 1");
    let frozen = tokio::time::timeout(Duration::from_millis(300), question).await;
    postgres.thaw().expect("it runs");

    assert!(frozen.is_err(), "a frozen server answered");
    client
        .simple_query("SELECT 1")
        .await
        .expect("the connection survived");
    postgres.stop().await.expect("it stops in order");
}

#[tokio::test]
async fn rabbitmq_keeps_a_quorum_queue_and_its_messages() {
    let mut rabbitmq = RabbitMq::start().await.expect("rabbitmq starts");
    let vhost = rabbitmq.vhost().await.expect("a vhost");
    publish_seven(&vhost).await.expect("the broker takes it");
    rabbitmq
        .wait_until_recorded(vhost.name(), "kept")
        .await
        .expect("it is recorded");
    let ready = async || vhost.ready("kept").await.ok() == Some(1);
    wait_until("the message is counted", SOON, ready).await;

    rabbitmq.kill().expect("it runs");
    rabbitmq.restart().await.expect("it starts again");

    let taken = async || {
        take(&vhost).await.ok()?[0]["payload"]
            .as_str()
            .map(str::to_owned)
    };
    let payload = wait_until("the message is there", SOON, taken).await;
    assert_eq!(payload, "7");
    let queues = rabbitmq
        .ctl(&["list_queues", "-p", vhost.name(), "name"])
        .await
        .expect("ctl");
    assert!(queues.lines().any(|line| line == "kept"), "{queues}");
}

async fn publish_seven(vhost: &Vhost) -> anyhow::Result<()> {
    let (api, name) = (vhost.management(), vhost.name());
    let queue = json!({ "durable": true, "arguments": { "x-queue-type": "quorum" } });
    api.put(&format!("queues/{name}/kept"), &queue).await?;
    let message = json!({
        "routing_key": "kept", "payload": "7", "payload_encoding": "string",
        "properties": { "delivery_mode": 2 },
    });
    let answer = api
        .post(&format!("exchanges/{name}/amq.default/publish"), &message)
        .await?;
    anyhow::ensure!(answer["routed"] == true, "not routed: {answer}");
    Ok(())
}

async fn take(vhost: &Vhost) -> anyhow::Result<Value> {
    let how = json!({ "count": 1, "ackmode": "ack_requeue_false", "encoding": "auto" });
    vhost
        .management()
        .post(&format!("queues/{}/kept/get", vhost.name()), &how)
        .await
}

#[tokio::test]
async fn two_rabbitmq_servers_run_side_by_side() {
    let (first, second) = tokio::join!(RabbitMq::start(), RabbitMq::start());
    let (mut first, second) = (first.expect("one starts"), second.expect("another starts"));
    first.kill().expect("it runs");
    second
        .ctl(&["status"])
        .await
        .expect("the other does not mind");
}

#[tokio::test]
async fn a_cluster_of_three_has_another_leader_when_one_is_killed() {
    let mut cluster = Cluster::start().await.expect("three nodes");
    let first = cluster.urls()[0].clone();
    let node = cluster.node(&first).expect("the first");
    let queue = json!({ "durable": true, "arguments": { "x-queue-type": "quorum" } });
    let api = node.management().clone();
    api.put("queues/%2F/kept", &queue).await.expect("a queue");
    let members = api.get("queues/%2F/kept").await.expect("it is there");
    assert_eq!(members["members"].as_array().map(Vec::len), Some(3));

    let killed = cluster.leader("kept").await.expect("it has a leader");
    let node = cluster.node(&killed).expect("one of ours");
    node.kill().expect("it runs");
    let another = async || cluster.leader("kept").await.is_ok_and(|url| url != killed);
    wait_until("another node leads", SOON, another).await;
    let node = cluster.node(&killed).expect("the killed one");
    node.restart().await.expect("it comes back");
}

#[tokio::test]
async fn redis_comes_back_empty_on_the_same_port() {
    let mut redis = Redis::start().await.expect("redis starts");
    let url = redis.url();
    redis.kill().expect("it runs");
    assert_eq!(redis.pid(), None);
    redis.restart().await.expect("it starts again");
    assert_eq!(redis.url(), url);
    redis.stop().await.expect("it stops in order");
}
