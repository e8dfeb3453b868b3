-- Views that answer what a support lead asks, over the tables that meltanolabs-target-postgres
-- loads.
--
--     psql -v schema=helpscout -v timezone=Europe/Copenhagen -f reports.sql YOUR_DATABASE
--
-- schema    where the tables are and the views go (the target's default_target_schema); default:
--           helpscout
-- timezone  in which days, months, weekdays and hours are counted; default: UTC
--
-- It can be run again at any time: all views are replaced in one transaction, or none. They hold no
-- rows of their own, so they are as new as the last sync. They need psql 11 and PostgreSQL 11 or
-- later, and the streams conversations, conversation_threads and mailboxes with all of their
-- fields.
--
-- PostgreSQL does not let a table be dropped, or a column's type be changed, while a view uses it.
-- Where a load fails because of that, remove the views, load, and install them again:
--
--     DROP VIEW first_reply_times, resolution_times, daily_volume, backlog, happiness, busy_hours,
--         reported_days, reported_status_changes, reported_threads, reported_conversations;
--
-- The tables must have been loaded in UTC: with PGTZ=UTC for the target, unless the server's time
-- zone is UTC. In all views: columns that end in _at are in UTC, as in the tables, and those that
-- begin with local_ in the time zone above. A conversation belongs to the inbox that it is in now,
-- wherever it was before. `mailbox` is that inbox's name, and null if mailboxes has no row of it.
-- An inbox that the target has marked as deleted keeps its name here, and its figures as long as
-- its conversations are not marked themselves.

\set ON_ERROR_STOP on
\set QUIET on
\if :{?schema}
\else
    \set schema helpscout
\endif
\if :{?timezone}
\else
    \set timezone UTC
\endif

BEGIN;
SET LOCAL search_path TO :"schema";

-- Right after the first load PostgreSQL knows nothing of the tables' sizes, and plans badly.
ANALYZE conversations;
ANALYZE conversation_threads;

-- Fails here, and not in each later query, if there is no such time zone.
SELECT now() AT TIME ZONE :'timezone' AS "now" \gset

-- The target writes into _sdc_deleted_at when a row was found to be deleted. The column is missing
-- if the target's add_record_metadata is false.
SELECT count(*) FILTER (WHERE column_name = '_sdc_deleted_at') = count(DISTINCT table_name)
    AS marks_deletions
FROM information_schema.columns
WHERE table_schema = :'schema'
    AND table_name IN ('conversations', 'conversation_threads', 'happiness_ratings_report') \gset
\if :marks_deletions
    \set is_there '_sdc_deleted_at IS NULL'
\else
    \set is_there TRUE
\endif

SELECT to_regclass('happiness_ratings_report') IS NOT NULL AS has_ratings_report \gset


-- reported_conversations: what is counted at all.
--
-- Spam, drafts and deleted conversations are not: Help Scout's own reports leave out spam and
-- deleted ones (https://docs.helpscout.com/article/46-reporting). What is spam now is left out of
-- the past as well.
--
-- A closed_at before created_at cannot be right, and is taken as not known.
--
-- Not known: a conversation that was deleted, or merged into another, disappears from the API's
-- lists without a trace. Its row stays here as it was last read, and is counted, until the target
-- marks it in _sdc_deleted_at, or somebody deletes it; then its threads are not counted either.
CREATE OR REPLACE VIEW reported_conversations AS
SELECT
    id,
    mailbox_id,
    status,
    created_at,
    CASE WHEN closed_at < created_at THEN NULL ELSE closed_at END AS closed_at,
    updated_at,
    created_at AT TIME ZONE 'UTC' AT TIME ZONE :'timezone' AS local_created_at,
    updated_at AT TIME ZONE 'UTC' AT TIME ZONE :'timezone' AS local_updated_at
FROM conversations
WHERE (state = 'published' OR state IS NULL)
    AND status IS DISTINCT FROM 'spam'
    AND :is_there;


-- reported_threads: the published threads of these conversations, and what each of them is. Those
-- that are marked in _sdc_deleted_at are left out.
--
-- customer  A customer wrote: by e-mail, in a chat, through Beacon.
-- call      A user logged a phone call (a `phone` thread). Which side had called is not known;
--           below it counts as the customer's call, and its status as the user's choice.
-- reply     A user wrote to the customer, by e-mail or chat. Not a reply: notes, line items,
--           forwards; drafts and scheduled messages, which are not published yet; messages that
--           were hidden later; what nobody (id 0) or an AI agent (a `system_user`) wrote; and
--           automatic messages.
-- other     Everything else.
--
-- A message is automatic if an automatic workflow sent it: its action is `automatic-workflow` or
-- its source `workflows`. A manual workflow is a user's decision, so its message is a reply.
--
-- Not known: whether an inbox's auto reply ("we have got your message") is listed as a thread at
-- all, and what it looks like; whether a user or an AI agent wrote: version 2 of the API, which the
-- tap reads, says `user` of both (version 3 says `system_user`), so an AI agent's message counts as
-- a reply.
-- https://developer.helpscout.com/mailbox-api/endpoints/conversations/threads/list/
CREATE OR REPLACE VIEW reported_threads AS
SELECT
    thread.id,
    thread.conversation_id,
    conversation.mailbox_id,
    thread.created_at,
    thread.created_at AT TIME ZONE 'UTC' AT TIME ZONE :'timezone' AS local_created_at,
    thread.status,
    CASE
        WHEN thread.type = 'customer' THEN 'customer'
        WHEN thread.type = 'phone' THEN 'call'
        WHEN thread.type IN ('chat', 'beaconchat')
            AND thread.author_type = 'customer' THEN 'customer'
        WHEN thread.type IN ('message', 'chat', 'beaconchat')
            AND thread.author_type = 'user'
            AND thread.author_id > 0
            AND NOT thread.is_automatic THEN 'reply'
        ELSE 'other'
    END AS kind,
    thread.author_id,
    thread.author
FROM (
    SELECT
        id,
        conversation_id,
        created_at,
        type,
        status,
        created_by ->> 'type' AS author_type,
        (created_by ->> 'id')::bigint AS author_id,
        nullif(trim(concat_ws(' ', created_by ->> 'first', created_by ->> 'last')), '') AS author,
        coalesce(action ->> 'type' = 'automatic-workflow', FALSE)
            OR coalesce(source ->> 'type' = 'workflows', FALSE) AS is_automatic
    FROM conversation_threads
    WHERE (state = 'published' OR state IS NULL)
        AND created_at IS NOT NULL
        AND :is_there
) AS thread
INNER JOIN reported_conversations AS conversation ON conversation.id = thread.conversation_id;


-- reported_status_changes: when each conversation was opened and closed.
--
-- The API shows the status of today and when the conversation was closed last; of what was between,
-- threads tell. Open means active or pending, snoozed ones too. Taken as evidence, in this order
-- within the same second:
--
-- 1. It is open when it begins.
-- 2. A customer who writes opens it: http://docs.helpscout.net/article/11-conversation-elements
-- 3. The status of any other thread, if it has one: line items ("marked as Closed"), and replies
--    and notes, which can close or open a conversation without a line item. Documented is that this
--    status is `nochange` unless the thread changed it; a live account was found to write the
--    status that the conversation had. Both readings say the same of the conversation.
--    Logged calls belong here: a user writes them down, and chooses the status. One that was logged
--    as closed opens nothing, and closes what was open; one that says `nochange`, or has no status,
--    changes nothing. Spam is as good as closed.
-- 4. closed_at is when it was closed last. If it is closed today, it has been closed ever since:
--    later threads are left out, whatever they say.
-- 5. The status of today holds since updated_at, or since the last evidence if that is later.
--
-- Not known: a closing that was followed by a reopening and left no thread with its status; when a
-- user, a workflow or the API reopened it without one (then updated_at stands for it); that a
-- conversation was spam and is no more, without one. Of a conversation that another was merged
-- into, the threads of both tell; what is older than itself is left out. Conversations without
-- created_at are left out.
CREATE OR REPLACE VIEW reported_status_changes AS
WITH begun AS (
    SELECT * FROM reported_conversations WHERE created_at IS NOT NULL
),

told AS (
    SELECT
        begun.id AS conversation_id,
        begun.mailbox_id,
        thread.created_at,
        thread.id AS thread_id,
        thread.kind,
        thread.status
    FROM begun
    INNER JOIN reported_threads AS thread ON thread.conversation_id = begun.id
    WHERE thread.created_at >= begun.created_at
        AND (
            begun.status IS DISTINCT FROM 'closed'
            OR begun.closed_at IS NULL
            OR thread.created_at <= begun.closed_at
        )
),

shown AS (
    SELECT
        id AS conversation_id,
        mailbox_id,
        created_at AS changed_at,
        1 AS evidence,
        0 AS thread_id,
        TRUE AS is_open
    FROM begun
    UNION ALL
    SELECT conversation_id, mailbox_id, created_at, 2, thread_id, TRUE
    FROM told
    WHERE kind = 'customer'
    UNION ALL
    SELECT
        conversation_id,
        mailbox_id,
        created_at,
        3,
        thread_id,
        status IN ('active', 'open', 'pending')
    FROM told
    WHERE kind <> 'customer' AND status IN ('active', 'open', 'pending', 'closed', 'spam')
    UNION ALL
    SELECT id, mailbox_id, closed_at, 4, 0, FALSE
    FROM begun
    WHERE closed_at IS NOT NULL
),

known AS (
    SELECT * FROM shown
    UNION ALL
    SELECT
        begun.id,
        begun.mailbox_id,
        greatest(begun.updated_at, latest.changed_at),
        5,
        0,
        begun.status IS DISTINCT FROM 'closed'
    FROM begun
    INNER JOIN (
        SELECT conversation_id, max(changed_at) AS changed_at FROM shown GROUP BY conversation_id
    ) AS latest ON latest.conversation_id = begun.id
),

compared AS (
    SELECT
        *,
        lag(is_open) OVER (
            PARTITION BY conversation_id ORDER BY changed_at, evidence, thread_id
        ) AS was_open
    FROM known
)

SELECT
    conversation_id,
    mailbox_id,
    changed_at,
    changed_at AT TIME ZONE 'UTC' AT TIME ZONE :'timezone' AS local_changed_at,
    is_open
FROM compared
WHERE is_open IS DISTINCT FROM was_open;


-- reported_days: every day of every inbox, from its first conversation or thread to the last day on
-- which anything is known to have happened, in whatever inbox. Later days are not there: a sync
-- that has not run must not look like a quiet week. Conversations without an inbox have no days.
CREATE OR REPLACE VIEW reported_days AS
WITH dated AS (
    SELECT mailbox_id, local_created_at::date AS first_day, local_updated_at::date AS last_day
    FROM reported_conversations
    UNION ALL
    SELECT mailbox_id, local_created_at::date, local_created_at::date
    FROM reported_threads
)

SELECT inbox.mailbox_id, mailboxes.name AS mailbox, day::date AS day
FROM (SELECT mailbox_id, min(first_day) AS first_day FROM dated GROUP BY mailbox_id) AS inbox
LEFT JOIN mailboxes ON mailboxes.id = inbox.mailbox_id
CROSS JOIN LATERAL generate_series(
    inbox.first_day::timestamp, (SELECT max(last_day) FROM dated)::timestamp, interval '1 day'
) AS day
WHERE inbox.mailbox_id IS NOT NULL;


-- first_reply_times: a row per conversation.
--
-- From the customer's first thread or call (first_customer_at) to the first reply that is not
-- older, all as in reported_threads, in seconds of the clock: nights and weekends count. What is
-- not there (yet) is null.
--
-- Begun by a user: what the user wrote before the customer did is no reply; the clock starts when
-- the customer writes. Chat: from the customer's first line to the user's next. Phone: from the
-- call to the first message after it.
--
-- Merged: the threads of both are one conversation, so first_customer_at can be older than
-- created_at.
CREATE OR REPLACE VIEW first_reply_times AS
WITH thread AS (
    SELECT
        *,
        min(created_at) FILTER (WHERE kind IN ('customer', 'call'))
            OVER (PARTITION BY conversation_id) AS first_customer_at
    FROM reported_threads
),

first_customer AS (
    SELECT conversation_id, min(first_customer_at) AS created_at
    FROM thread
    GROUP BY conversation_id
),

first_reply AS (
    SELECT DISTINCT ON (conversation_id) conversation_id, created_at, author_id, author
    FROM thread
    WHERE kind = 'reply' AND created_at >= first_customer_at
    ORDER BY conversation_id, created_at, id
)

SELECT
    conversation.id AS conversation_id,
    conversation.mailbox_id,
    mailboxes.name AS mailbox,
    conversation.created_at,
    first_customer.created_at AS first_customer_at,
    first_reply.created_at AS first_reply_at,
    extract(EPOCH FROM first_reply.created_at - first_customer.created_at)::bigint AS seconds,
    first_reply.author_id AS replied_by_id,
    first_reply.author AS replied_by
FROM reported_conversations AS conversation
LEFT JOIN mailboxes ON mailboxes.id = conversation.mailbox_id
LEFT JOIN first_customer ON first_customer.conversation_id = conversation.id
LEFT JOIN first_reply ON first_reply.conversation_id = conversation.id;


-- resolution_times: a row per conversation that is closed now.
--
-- From created_at to the last closing, in seconds of the clock, and the replies until then. A
-- conversation that was reopened has its last closing alone; one that is open again has no row
-- until it is closed again.
--
-- Help Scout calls a conversation resolved that has a user's reply and is closed: to leave out the
-- others, add WHERE replies > 0. https://docs.helpscout.com/article/46-reporting
--
-- The last closing is closed_at. Where that is not known, the last thread stands for it that has
-- the status closed and was not written by a customer; it can be a later note. Without such a
-- thread, last_closed_at and seconds are null, and replies is 0.
CREATE OR REPLACE VIEW resolution_times AS
WITH closed AS (
    SELECT
        conversation.id AS conversation_id,
        conversation.mailbox_id,
        conversation.created_at,
        coalesce(
            conversation.closed_at,
            max(thread.created_at) FILTER (
                WHERE thread.kind <> 'customer' AND thread.status = 'closed'
            ) OVER (PARTITION BY conversation.id)
        ) AS last_closed_at,
        thread.kind,
        thread.created_at AS thread_created_at
    FROM reported_conversations AS conversation
    LEFT JOIN reported_threads AS thread ON thread.conversation_id = conversation.id
    WHERE conversation.status = 'closed'
)

SELECT
    closed.conversation_id,
    closed.mailbox_id,
    mailboxes.name AS mailbox,
    closed.created_at,
    closed.last_closed_at,
    extract(EPOCH FROM closed.last_closed_at - closed.created_at)::bigint AS seconds,
    count(*) FILTER (
        WHERE closed.kind = 'reply' AND closed.thread_created_at <= closed.last_closed_at
    ) AS replies
FROM closed
LEFT JOIN mailboxes ON mailboxes.id = closed.mailbox_id
GROUP BY
    closed.conversation_id,
    closed.mailbox_id,
    mailboxes.name,
    closed.created_at,
    closed.last_closed_at;


-- daily_volume: a row per day and inbox, quiet days too, so that an average over an inbox's rows is
-- one per day.
--
-- new      conversations that began on that day, by customers or users, as in Help Scout's New
--          Conversations
-- replied  conversations with a reply on that day; one with three replies is counted once
-- closed   conversations that were closed on that day. One that is reopened and closed again is
--          counted once if that is on the same day, and else on both days. One that was taken for
--          spam counts as closed on that day, if it is no spam today. When they were closed:
--          reported_status_changes, with what cannot be known.
CREATE OR REPLACE VIEW daily_volume AS
WITH counted AS (
    SELECT mailbox_id, local_created_at::date AS day, 'new' AS what, id AS conversation_id
    FROM reported_conversations
    UNION
    SELECT mailbox_id, local_created_at::date, 'replied', conversation_id
    FROM reported_threads
    WHERE kind = 'reply'
    UNION
    SELECT mailbox_id, local_changed_at::date, 'closed', conversation_id
    FROM reported_status_changes
    WHERE NOT is_open
),

daily AS (
    SELECT
        mailbox_id,
        day,
        count(*) FILTER (WHERE what = 'new') AS new_conversations,
        count(*) FILTER (WHERE what = 'replied') AS replied_conversations,
        count(*) FILTER (WHERE what = 'closed') AS closed_conversations
    FROM counted
    GROUP BY mailbox_id, day
)

SELECT
    days.day,
    days.mailbox_id,
    days.mailbox,
    coalesce(daily.new_conversations, 0) AS new_conversations,
    coalesce(daily.replied_conversations, 0) AS replied_conversations,
    coalesce(daily.closed_conversations, 0) AS closed_conversations
FROM reported_days AS days
LEFT JOIN daily ON daily.mailbox_id = days.mailbox_id AND daily.day = days.day;


-- backlog: a row per day and inbox, with the conversations that were open when the day ended.
--
-- The last day's figure is that of the last sync. What opens and closes a conversation, and what of
-- it cannot be known: reported_status_changes. In short: the status at the last sync and closed_at
-- are sure. So the last day's figure is right, but for conversations that were deleted or merged
-- and are not marked so. Of the days before, a conversation that was closed and reopened without a
-- thread that says so counts as open in between. Conversations that were moved count in the inbox
-- where they are now, for all days.
CREATE OR REPLACE VIEW backlog AS
WITH daily AS (
    SELECT
        mailbox_id,
        local_changed_at::date AS day,
        sum(CASE WHEN is_open THEN 1 ELSE -1 END) AS difference
    FROM reported_status_changes
    GROUP BY mailbox_id, local_changed_at::date
)

SELECT
    days.day,
    days.mailbox_id,
    days.mailbox,
    coalesce(sum(daily.difference) OVER (PARTITION BY days.mailbox_id ORDER BY days.day), 0)::bigint
        AS open_conversations
FROM reported_days AS days
LEFT JOIN daily ON daily.mailbox_id = days.mailbox_id AND daily.day = days.day;


-- happiness: a row per month, user and inbox that has ratings.
--
-- The score is that of Help Scout: the percentage of great ratings less the percentage of those
-- that are not good, from -100 to 100 (https://www.helpscout.net/blog/customer-satisfaction/). Its
-- own example has 41 great and 35 not good of 110, a score of 5.45:
-- https://developer.helpscout.com/mailbox-api/endpoints/reports/happiness/reports-happiness-overall/
--
-- Scores do not add up: for a quarter, or for all users, add great, okay and not_good and divide
-- anew.
--
-- A customer can rate a message again: the last rating counts. If several customers rate the same
-- message, each of them counts. A month is that of the rating, a user the one whom the report names
-- beside it (whose message was rated), under the name that the user's newest rating has.
--
-- A rating counts until it is marked in _sdc_deleted_at itself, also if its conversation is spam or
-- deleted now. The inbox is that of the conversation, even if that is marked as deleted; it is null
-- where the conversation is not in the tables (merged or deleted before it was read, or not changed
-- since start_date).
\if :has_ratings_report
CREATE OR REPLACE VIEW happiness AS
WITH last_rating AS (
    SELECT DISTINCT ON (thread_id, rating_customer_id)
        conversation_id,
        rating_id AS level,
        rating_created_at AS rated_at,
        rating_user_id AS user_id,
        nullif(trim(rating_user_name), '') AS user_name
    FROM happiness_ratings_report
    WHERE :is_there
    ORDER BY thread_id, rating_customer_id, rating_created_at DESC
),
\else
-- Without the report (Help Scout has it on its Plus and Pro plans alone), the ratings that threads
-- show, one for each message. They have no date: here a month is that of the message that was
-- rated, and a user the one who wrote it.
CREATE OR REPLACE VIEW happiness AS
WITH last_rating AS (
    SELECT
        conversation_id,
        CASE rating ->> 'rating' WHEN 'great' THEN 1 WHEN 'okay' THEN 2 WHEN 'not_good' THEN 3 END
            AS level,
        created_at AS rated_at,
        (created_by ->> 'id')::bigint AS user_id,
        nullif(trim(concat_ws(' ', created_by ->> 'first', created_by ->> 'last')), '')
            AS user_name
    FROM conversation_threads
    WHERE rating IS NOT NULL
        AND :is_there
),
\endif
named AS (
    SELECT DISTINCT ON (user_id) user_id, user_name
    FROM last_rating
    ORDER BY user_id, rated_at DESC
),

counted AS (
    SELECT
        date_trunc('month', last_rating.rated_at AT TIME ZONE 'UTC' AT TIME ZONE :'timezone')::date
            AS month,
        last_rating.user_id,
        conversations.mailbox_id,
        count(*) FILTER (WHERE last_rating.level = 1) AS great,
        count(*) FILTER (WHERE last_rating.level = 2) AS okay,
        count(*) FILTER (WHERE last_rating.level = 3) AS not_good
    FROM last_rating
    LEFT JOIN conversations ON conversations.id = last_rating.conversation_id
    WHERE last_rating.level IN (1, 2, 3)
    GROUP BY month, last_rating.user_id, conversations.mailbox_id
)

SELECT
    counted.month,
    counted.user_id,
    named.user_name,
    counted.mailbox_id,
    mailboxes.name AS mailbox,
    counted.great,
    counted.okay,
    counted.not_good,
    round(
        100.0 * (counted.great - counted.not_good)
        / (counted.great + counted.okay + counted.not_good),
        2
    ) AS score
FROM counted
LEFT JOIN named ON named.user_id = counted.user_id
LEFT JOIN mailboxes ON mailboxes.id = counted.mailbox_id;


-- busy_hours: a row per weekday (1 is Monday, 7 is Sunday) and hour (0 to 23), 168 in all.
--
-- What customers sent and the calls that were logged (in reported_threads: customer and call),
-- since the tables begin. Each line that a customer writes in a chat counts; of a conversation that
-- a user began, what the customer answers.
CREATE OR REPLACE VIEW busy_hours AS
SELECT weekday, hour, count(thread.id) AS customer_threads
FROM generate_series(1, 7) AS weekday
CROSS JOIN generate_series(0, 23) AS hour
LEFT JOIN reported_threads AS thread
    ON thread.kind IN ('customer', 'call')
    AND extract(ISODOW FROM thread.local_created_at) = weekday
    AND extract(HOUR FROM thread.local_created_at) = hour
GROUP BY weekday, hour;

COMMIT;
\echo 'The views are in the schema' :schema 'and count days in' :timezone

