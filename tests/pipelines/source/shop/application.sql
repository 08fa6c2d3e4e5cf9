-- Another application: integer keys, other names, money in cents, moments without a zone (UTC), lines that repeat the
-- tenant, and no foreign keys at all, so that orphans can exist.

CREATE SCHEMA shop;

CREATE TABLE shop.companies (company_no integer PRIMARY KEY, title text, tz text);
CREATE TABLE shop.outlets (outlet_no integer PRIMARY KEY, company_no integer, title text, tz text);
CREATE TABLE shop.categories (category_no integer PRIMARY KEY, company_no integer, title text);
CREATE TABLE shop.articles (
    article_no bigint PRIMARY KEY,
    company_no integer,
    category_no integer,
    code text,
    title text
);
CREATE TABLE shop.clients (client_no integer PRIMARY KEY, company_no integer, full_name text);

CREATE TABLE shop.tickets (
    ticket_no bigint PRIMARY KEY,
    company_no integer,
    outlet_no integer,
    client_no integer,
    -- 'paid' counts
    state text,
    is_hidden boolean NOT NULL DEFAULT false,
    closed_at timestamp
);
CREATE TABLE shop.sale_lines (
    line_no bigint PRIMARY KEY,
    company_no integer,
    ticket_no bigint,
    article_no bigint,
    pieces numeric,
    price_cents bigint,
    discount_cents bigint NOT NULL DEFAULT 0,
    tax_cents bigint NOT NULL DEFAULT 0,
    cost_cents bigint
);
CREATE INDEX sale_lines_ticket_no_idx ON shop.sale_lines (ticket_no);
CREATE TABLE shop.receipts (receipt_no bigint PRIMARY KEY, ticket_no bigint, means text, cents bigint);
CREATE INDEX receipts_ticket_no_idx ON shop.receipts (ticket_no);

CREATE TABLE shop.refunds (
    refund_no bigint PRIMARY KEY,
    company_no integer,
    outlet_no integer,
    ticket_no bigint,
    client_no integer,
    state text,
    refunded_at timestamp
);
CREATE TABLE shop.refund_lines (
    refund_line_no bigint PRIMARY KEY,
    company_no integer,
    refund_no bigint,
    article_no bigint,
    pieces numeric,
    refund_cents bigint,
    cost_cents bigint
);
CREATE INDEX refund_lines_refund_no_idx ON shop.refund_lines (refund_no);
CREATE TABLE shop.payouts (payout_no bigint PRIMARY KEY, refund_no bigint, means text, cents bigint);
CREATE INDEX payouts_refund_no_idx ON shop.payouts (refund_no);
