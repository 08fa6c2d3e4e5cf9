"""The source assets, which Dagster observes and never materialises: the contract's views, and the change log."""

import dagster as dg

from dbsql import query
from pipelines.assets.names import OWNERS, source_key
from pipelines.refresh import Connections, read_state
from pipelines.refresh.observe import observe_source
from pipelines.refresh.state import xid_texts

# view -> its grain in words, and the entity of the change log that its changes are logged as
_VIEWS: dict[str, tuple[str, str]] = {
    "tenant": ("One row per tenant.", "tenant"),
    "store": ("One row per store, with its own time zone if it has one.", "store"),
    "product": ("One row per product, with its group.", "product"),
    "customer": ("One row per customer.", "customer"),
    "sale": ("One row per sale, and whether it counts.", "sale"),
    "sale_line": ("One row per line of a sale.", "sale"),
    "sale_payment": ("One row per payment of a sale.", "sale"),
    "sale_return": ("One row per return, and whether it counts.", "return"),
    "sale_return_line": ("One row per line of a return.", "return"),
    "sale_return_payment": ("One row per payment given back for a return.", "return"),
}
CHANGE_LOG = source_key("change_log")
CHANGE_COUNT_LIMIT = 10_000


def source_specs() -> list[dg.AssetSpec]:
    """Return one spec per view of the source contract, and the change log behind all of them."""
    views = [
        dg.AssetSpec(
            source_key(view),
            description=f"{grain} The application's own table(s), in the terms of the source contract; read on the replica.",
            group_name="source",
            owners=OWNERS,
            kinds={"postgres", "view"},
            tags={"layer": "source"},
            metadata={"dagster/table_name": f"salespulse_source.{view}", "entity": entity},
        )
        for view, (grain, entity) in _VIEWS.items()
    ]
    log = dg.AssetSpec(
        CHANGE_LOG,
        deps=[spec.key for spec in views],
        description=(
            "One row per changed key and statement, appended by triggers in the application's own transactions. "
            "Read on the replica past the watermark, pruned behind it."
        ),
        group_name="capture",
        owners=OWNERS,
        kinds={"postgres", "table"},
        tags={"layer": "capture"},
        metadata={"dagster/table_name": "salespulse_source.change_log"},
    )
    return [*views, log]


def observe_assets(connections: Connections) -> list[dg.AssetObservation]:
    """Return an observation of each source asset: lag, and visible changes that are not applied yet."""
    state = read_state(connections.warehouse)
    parameters = {
        "horizon": str(state.horizon if state is not None else 0),
        "seen": xid_texts(state.seen) if state is not None else [],
        "row_limit": CHANGE_COUNT_LIMIT,
    }
    rows = connections.replica.execute(query("assets.pending_by_entity"), parameters)
    pending_by_entity = {row["entity"]: row["pending_changes"] for row in rows}
    observation = observe_source(connections)
    lag: dict[str, dg.MetadataValue] = {"lag_s": dg.MetadataValue.float(round(observation.lag_s, 3))}
    if observation.lag_bytes is not None:
        lag["lag_bytes"] = dg.MetadataValue.int(observation.lag_bytes)
    events = [
        dg.AssetObservation(
            source_key(view),
            metadata={**lag, "pending_changes": dg.MetadataValue.int(pending_by_entity.get(entity, 0))},
        )
        for view, (_, entity) in _VIEWS.items()
    ]
    events.append(
        dg.AssetObservation(
            CHANGE_LOG,
            metadata={
                **lag,
                "pending_changes": dg.MetadataValue.int(observation.pending_changes),
                "newest_change_id": dg.MetadataValue.int(observation.newest_change_id),
                "queued_documents": dg.MetadataValue.int(observation.queued_documents),
                "quarantined_documents": dg.MetadataValue.int(observation.quarantined_documents),
                **({"horizon": dg.MetadataValue.int(observation.horizon)} if observation.horizon is not None else {}),
                **({"as_of": dg.MetadataValue.timestamp(observation.as_of)} if observation.as_of is not None else {}),
            },
        )
    )
    return events
