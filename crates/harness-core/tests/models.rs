//! The table of models.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use harness_core::Usage;
use harness_core::model::models;

#[test]
fn every_entry_makes_sense() {
    for model in models::KNOWN {
        let price = model.price;
        assert_eq!(models::known(model.id), Some(model), "{} twice", model.id);
        assert!(u64::from(model.max_output) < model.window, "{}", model.id);
        assert!(price.read < price.input && price.input < price.write_5m, "{}", model.id);
        assert!(price.write_5m < price.write_1h && price.input < price.output, "{}", model.id);
        if let Some((_, instead)) = model.retires {
            assert!(models::known(instead).is_some_and(|m| m.retires.is_none()), "{instead}");
        }
    }
    assert!(models::notice(models::DEFAULT).is_none() && models::known(models::DEFAULT).is_some());
}

#[test]
fn a_request_is_priced_by_what_it_used() {
    let usage = Usage {
        input_tokens: 1000,
        cache_creation_input_tokens: 3000,
        cache_creation_1h_tokens: 1000,
        cache_read_input_tokens: 10_000,
        output_tokens: 100,
    };
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
    near(models::cost("claude-sonnet-5-5", &usage).unwrap(), 0.002 + 0.005 + 0.004 + 0.001 + 0.001);
    assert_eq!(models::cost("llama3", &usage), None);

    // The prompt alone; what if nothing had been read; what if there were no cache.
    let cost = models::prompt_cost("claude-sonnet-5-5", &usage).unwrap();
    near(cost.paid, 0.012);
    near(cost.unread, 0.011 * 2.0 + 0.009);
    near(cost.plain, 0.028);
    assert_eq!(models::prompt_cost("llama3", &usage), None);

    let small = Usage { input_tokens: 100_000, ..Usage::default() };
    let large = Usage { input_tokens: 100_001, ..Usage::default() };
    near(models::cost("claude-haiku-5-5", &small).unwrap(), 0.01);
    near(models::cost("claude-haiku-5-5", &large).unwrap(), 0.050_000_5);
}

#[test]
fn models_that_are_gone_name_their_successor() {
    let told = |id| models::notice(id).unwrap();
    let gone = "claude-sonnet-4-20250514 was retired on 2026-06-15; use claude-sonnet-4-6";
    assert_eq!(told("claude-sonnet-4-20250514"), gone);
    assert!(told("claude-sonnet-4-5-20250929").contains("retires on 2026-11-30"));
    assert_eq!(models::notice("claude-opus-5-5"), None);
}

#[test]
fn what_is_not_known_gets_nothing_special() {
    assert_eq!(models::window("anthropic/claude-opus-5.5"), 200_000);
    assert_eq!(models::max_output("llama3"), 32_000);
    for id in ["llama3", "claude-opus-4-8", "claude-haiku-4-5", "claude-mythos-preview"] {
        assert!(models::extra(id).is_empty(), "{id}");
    }
    assert_eq!(models::extra("claude-opus-5-5")["thinking"]["display"], "summarized");
}
