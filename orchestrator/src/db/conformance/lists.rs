//! Lists of sagas: every filter, and pages.

use super::TestDatabase;
use super::batches::*;
use crate::db::{Db, ListFilter, SagaInsert, SagaRow};
use saga_core::saga::Status;
use saga_protocol::Time;
use std::time::Duration;
use uuid::Uuid;

on_both! {
    pages_are_newest_first_without_gaps,
    each_filter_finds_its_sagas,
    filters_combine_with_and,
    search_matches_prefixes,
    filtered_pages_have_no_gaps,
}

/// The n-th saga, started n minutes after the first; its state is its number.
fn nth(n: u64) -> SagaInsert {
    let at = T0 + Duration::from_secs(60 * n);
    let millis = u128::try_from(at.micros() / 1000).expect("after 1970");
    let id = Uuid::from_u128((millis << 80) | (7 << 76) | (2 << 62) | u128::from(n));
    let row = SagaRow {
        updated_at: at,
        state: n.to_string().into_bytes(),
        ..row(id)
    };
    SagaInsert {
        started_at: at,
        deadline: at + Duration::from_secs(1),
        ..insert_of("order", row)
    }
}

/// 0 … 9, each with something of its own.
fn ten() -> Vec<SagaInsert> {
    let mut ten: Vec<_> = (0..10).map(nth).collect();
    ten[1].workflow = "refund".to_owned();
    ten[2].row = ended(ten[2].row.clone(), Status::Completed);
    ten[3].row.status = Status::Parked;
    ten[4].row.status = Status::Compensating;
    ten[4].row.current = "pay store".to_owned();
    ten[5].row.current = "store-2 deliver".to_owned();
    ten[6].key = "A-17".to_owned();
    ten[7].key = "A-18".to_owned();
    ten[8].correlation_id = "A-1 request".to_owned();
    ten[9].workflow = "refund".to_owned();
    ten[9].key = "A-17".to_owned();
    ten
}

/// The numbers of the sagas of all pages, in order.
async fn list(db: &dyn Db, filter: ListFilter) -> Vec<u64> {
    let mut filter = ListFilter {
        limit: if filter.limit == 0 { 50 } else { filter.limit },
        ..filter
    };
    let mut numbers = Vec::new();
    for _page in 0..100 {
        let page = db.list(&filter).await.expect("a page");
        assert!(page.states.len() <= filter.limit as usize);
        let number = |state: Vec<u8>| {
            String::from_utf8(state)
                .expect("text")
                .parse::<u64>()
                .expect("a number")
        };
        numbers.extend(page.states.into_iter().map(number));
        if page.next.is_none() {
            return numbers;
        }
        filter.before = page.next;
    }
    panic!("too many pages: {numbers:?}");
}

async fn pages_are_newest_first_without_gaps(database: &TestDatabase) {
    let db = &*database.db;
    assert!(list(db, ListFilter::default()).await.is_empty());
    db.write(&starting((0..10).map(nth).collect()))
        .await
        .expect("sagas can be started");
    for limit in [1, 3, 5, 10, 500] {
        let all = list(
            db,
            ListFilter {
                limit,
                ..ListFilter::default()
            },
        )
        .await;
        assert_eq!(all, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], "in pages of {limit}");
    }
}

async fn each_filter_finds_its_sagas(database: &TestDatabase) {
    let db = &*database.db;
    db.write(&starting(ten()))
        .await
        .expect("sagas can be started");
    let any = ListFilter::default;
    let status = |status: &[Status]| ListFilter {
        status: status.to_vec(),
        ..any()
    };
    let text = |text: &str| Some(text.to_owned());
    let minute = |n: u64| Some(nth(n).started_at);
    let cases = [
        (status(&[Status::Completed]), vec![2]),
        (status(&[Status::Compensating, Status::Parked]), vec![4, 3]),
        (status(&[Status::Compensated]), vec![]),
        (status(Status::ALL), vec![9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        (
            ListFilter {
                workflow: text("refund"),
                ..any()
            },
            vec![9, 1],
        ),
        (
            ListFilter {
                workflow: text("nothing"),
                ..any()
            },
            vec![],
        ),
        (
            ListFilter {
                step: text("store"),
                ..any()
            },
            vec![4],
        ),
        (
            ListFilter {
                step: text("deliver"),
                ..any()
            },
            vec![5],
        ),
        (
            ListFilter {
                key: text("A-17"),
                ..any()
            },
            vec![9, 6],
        ),
        (
            ListFilter {
                key: text("A-1"),
                ..any()
            },
            vec![],
        ),
        (
            ListFilter {
                since: minute(7),
                ..any()
            },
            vec![9, 8, 7],
        ),
        (
            ListFilter {
                until: minute(2),
                ..any()
            },
            vec![1, 0],
        ),
        (
            ListFilter {
                since: minute(3),
                until: minute(5),
                ..any()
            },
            vec![4, 3],
        ),
        (
            ListFilter {
                since: minute(3).map(|at| at + Duration::from_micros(1)),
                until: minute(5),
                ..any()
            },
            vec![4],
        ),
        (
            ListFilter {
                before: Some(nth(2).row.id),
                ..any()
            },
            vec![1, 0],
        ),
        (
            ListFilter {
                since: Some(Time::from_micros(0)),
                ..any()
            },
            vec![9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(list(db, filter.clone()).await, expected, "{filter:?}");
    }
}

async fn filters_combine_with_and(database: &TestDatabase) {
    let db = &*database.db;
    db.write(&starting(ten()))
        .await
        .expect("sagas can be started");
    let text = |text: &str| Some(text.to_owned());
    let running = || ListFilter {
        status: vec![Status::Running],
        ..ListFilter::default()
    };
    let cases = [
        (
            ListFilter {
                workflow: text("refund"),
                ..running()
            },
            vec![9, 1],
        ),
        (
            ListFilter {
                workflow: text("order"),
                step: text("deliver"),
                ..running()
            },
            vec![5],
        ),
        (
            ListFilter {
                step: text("pay"),
                ..running()
            },
            vec![],
        ),
        (
            ListFilter {
                status: vec![Status::Completed],
                step: text("order"),
                ..running()
            },
            vec![],
        ),
        (
            ListFilter {
                key: text("A-17"),
                workflow: text("order"),
                ..running()
            },
            vec![6],
        ),
        (
            ListFilter {
                key: text("A-17"),
                status: vec![Status::Parked],
                ..running()
            },
            vec![],
        ),
        (
            ListFilter {
                key: text("A-17"),
                q: text("A-1"),
                ..running()
            },
            vec![9, 6],
        ),
        (
            ListFilter {
                q: text("A-1"),
                workflow: text("refund"),
                ..running()
            },
            vec![9],
        ),
        (
            ListFilter {
                q: text("A-1"),
                until: Some(nth(8).started_at),
                ..running()
            },
            vec![7, 6],
        ),
        (
            ListFilter {
                since: Some(nth(6).started_at),
                ..running()
            },
            vec![9, 8, 7, 6],
        ),
        (
            ListFilter {
                key: text("A-17"),
                before: Some(nth(9).row.id),
                ..running()
            },
            vec![6],
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(list(db, filter.clone()).await, expected, "{filter:?}");
    }
}

async fn search_matches_prefixes(database: &TestDatabase) {
    let db = &*database.db;
    db.write(&starting(ten()))
        .await
        .expect("sagas can be started");
    let id = nth(5).row.id.to_string();
    let cases = [
        ("A-1", vec![9, 8, 7, 6]),
        ("A-17", vec![9, 6]),
        ("A-1 r", vec![8]),
        ("a-1", vec![]),
        ("%", vec![]),
        (&id[..], vec![5]),
        (&id[..11], vec![5]),
        ("ffff", vec![]),
        ("correlation-", vec![9, 7, 6, 5, 4, 3, 2, 1, 0]),
    ];
    for (q, expected) in cases {
        for limit in [2, 50] {
            let filter = ListFilter {
                q: Some(q.to_owned()),
                limit,
                ..ListFilter::default()
            };
            assert_eq!(list(db, filter).await, expected, "{q} in pages of {limit}");
        }
    }
}

async fn filtered_pages_have_no_gaps(database: &TestDatabase) {
    let db = &*database.db;
    let mut sagas: Vec<_> = (0..60).map(nth).collect();
    for (n, saga) in sagas.iter_mut().enumerate() {
        saga.workflow = ["order", "refund", "return"][n % 3].to_owned();
        saga.row.status = [Status::Running, Status::Parked][n % 2];
        saga.row.current = ["pay", "store"][n / 2 % 2].to_owned();
    }
    db.write(&starting(sagas))
        .await
        .expect("sagas can be started");
    let filter = ListFilter {
        step: Some("pay".to_owned()),
        since: Some(nth(10).started_at),
        limit: 4,
        ..ListFilter::default()
    };
    let expected: Vec<_> = (10..60).rev().filter(|n| n / 2 % 2 == 0).collect();
    assert_eq!(list(db, filter.clone()).await, expected);
    let filter = ListFilter {
        status: vec![Status::Parked],
        workflow: Some("return".to_owned()),
        ..filter
    };
    assert_eq!(
        list(db, filter).await,
        expected
            .into_iter()
            .filter(|n| n % 2 == 1 && n % 3 == 2)
            .collect::<Vec<_>>()
    );
}
