//! An example of a request, for the dashboard.

/// A shell command that places an order.
pub fn curl_example(address: &str) -> String {
    format!(
        r#"curl -i http://{address}/orders -H 'content-type: application/json' \
  -H 'prefer: wait=10' -d '{{"customer": "c-1", "store": "s-1", "fulfilment": "delivery",
    "items": [{{"menu": "big mac", "quantity": 2, "price": 550}}],
    "payment": {{"method": "card", "token": "tok_visa"}}}}'"#
    )
}
