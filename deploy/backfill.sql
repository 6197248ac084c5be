-- Exports an older table for `reactions backfill` (docs/adoption.md). Changes nothing.
--
--   psql -q "$OLD_DATABASE" -f deploy/backfill.sql | reactions backfill --before 2026-01-31T12:00:00Z
--
-- Replace likes, its columns and the type by yours. Keep the order: the backfill checks it.

COPY (
  SELECT
    post_id,
    user_id,
    'like' AS type,
    (extract(epoch FROM created_at) * 1000000)::bigint AS at_us
  FROM likes
  ORDER BY post_id, at_us DESC, user_id
) TO STDOUT WITH (FORMAT csv, HEADER);
