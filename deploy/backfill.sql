-- Exports an older table for `reactions backfill` (docs/adoption.md). Changes nothing.
--
--   psql -q "$OLD_DATABASE" -f deploy/backfill.sql | reactions backfill --before 2026-01-31T12:00:00Z
--
-- Replace likes, its columns and the type by yours. Keep the order: the backfill checks it. A row
-- without a post or a user is left out. One without a time, or from before 1970, counts as one of 2
-- January 1970: greatest() ignores NULL. If your type is a column, leave out its NULLs too, or name a type for them.

COPY (
  SELECT
    post_id,
    user_id,
    'like' AS type,
    greatest(86400000000, (extract(epoch FROM created_at) * 1000000)::bigint) AS at_us
  FROM likes
  WHERE post_id IS NOT NULL AND user_id IS NOT NULL
  ORDER BY post_id, at_us DESC, user_id
) TO STDOUT WITH (FORMAT csv, HEADER);
