"""Make scattered changes as users do: edits, voids, deletes and late sales, each in its own transaction."""

import random

from benchmarks.refresh.environment import Environment

KINDS = ("edit", "edit", "void", "delete", "late")

# A procedure of the application's side: one transaction a change, with the keys drawn beforehand. The ids follow from the
# synthetic generator's seed and running number.
_PROCEDURE = """
CREATE OR REPLACE PROCEDURE public.bench_change(kinds text[], numbers bigint[], seed bigint) LANGUAGE plpgsql AS $$
DECLARE
    i integer;
    target text;
    fresh text;
BEGIN
    FOR i IN 1 .. cardinality(kinds) LOOP
        target := md5(seed || '/sale/' || numbers[i])::uuid::text;
        IF kinds[i] = 'edit' THEN
            UPDATE retail.sale_items SET quantity = quantity + 1
            WHERE id = (SELECT min(x.id) FROM retail.sale_items AS x WHERE x.sale_id = target);
        ELSIF kinds[i] = 'void' THEN
            UPDATE retail.sales SET status = CASE status WHEN 'voided' THEN 'completed' ELSE 'voided' END WHERE id = target;
        ELSIF kinds[i] = 'delete' THEN
            DELETE FROM retail.sales WHERE id = target;
        ELSE
            fresh := gen_random_uuid()::text;
            INSERT INTO retail.sales (id, tenant_id, store_id, customer_id, receipt_number, status, sold_at)
            SELECT fresh, s.tenant_id, s.store_id, s.customer_id, 'late ' || s.receipt_number, 'completed', s.sold_at
            FROM retail.sales AS s WHERE s.id = target;
            INSERT INTO retail.sale_items (sale_id, product_id, quantity, unit_price, discount_amount, tax_amount, unit_cost)
            SELECT fresh, product_id, quantity, unit_price, discount_amount, tax_amount, unit_cost
            FROM retail.sale_items WHERE sale_id = target AND EXISTS (SELECT FROM retail.sales WHERE id = fresh);
            INSERT INTO retail.payments (sale_id, method, amount)
            SELECT fresh, method, amount
            FROM retail.payments WHERE sale_id = target AND EXISTS (SELECT FROM retail.sales WHERE id = fresh);
        END IF;
        COMMIT;
    END LOOP;
END
$$
"""


class Scatter:
    """Draws sales without repetition over all of history, and changes them."""

    def __init__(self, environment: Environment, *, sales: int, data_seed: int, seed: int = 7) -> None:
        self._environment = environment
        self._sales = sales
        self._data_seed = data_seed
        self._random = random.Random(seed)
        environment.application.execute(_PROCEDURE.encode())

    def change(self, count: int) -> None:
        """Change this many sales, and wait until the standby shows it."""
        numbers = self._random.sample(range(1, self._sales + 1), count)
        kinds = [KINDS[index % len(KINDS)] for index in range(count)]
        self._environment.application.execute(
            "CALL public.bench_change(%s::text[], %s::bigint[], %s)", [kinds, numbers, self._data_seed]
        )
        self._environment.wait_for_replay()
