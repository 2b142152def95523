"""A database as that of a node that ran for a hundred days, for benchmarks of what shows it."""

from __future__ import annotations

import json
import time

from sqlalchemy import text

from bench.full_table import NUMBERS, UID, fill, settle
from db.engine import Database

DAYS = 100
PER_STUDY = 5

# As inference.said writes it.
_ANSWERS = {
    "answer": "abnormal",
    "abnormal_probability": 0.9,
    "leading": "COVID-19",
    "urgent": None,
    "probabilities": {"normal": 0.1, "pneumonia": 0.2, "COVID-19": 0.7},
    "scores": {"Geographic extent": 3.0},
    "grades": {},
    "regions": 0,
    "segments": 0,
    "images": 1,
}
_UPDATE_STUDIES = """
update study set first_received_at = {at} - 20, last_received_at = {at}
from {numbers} where study_uid = {uid}
"""
_IDENTITIES = """
insert into identity (study_uid, patient_name, name_key, patient_id, birth_date, sex,
    accession_number, study_date, study_time, description)
select {uid}, 'FAMILY' || n || '^GIVEN', 'family' || n || ' given', 'P' || (n / 3), '19500101',
    'F', 'A' || n, '20260101', '120000', 'CT HEAD'
from {numbers}
"""
# Every thousandth job is dead and every fiftieth skipped; the last ones wait.
_JOBS = """
insert into job (study_uid, model, model_version, input_digest, state, reason, priority, attempts,
    created_at, run_at, started_at, finished_at, answers, batch)
select {uid}, case n % 3 when 0 then 'head-ct-triage' else 'cxr-covid' end, '1.0.0', '',
    case when n >= {count} - 400 then 'queued' when n % 1000 = 0 then 'dead'
        when n % 50 = 1 then 'skipped' else 'done' end,
    case when n % 1000 = 0 then 'internal error at worker.py:1' end,
    case n % 20 when 0 then 10 else 0 end, 1, {at} + 5, {at} + 5,
    case when n < {count} - 400 then {at} + 5 + (n % 17) end,
    case when n < {count} - 400 then {at} + 10 + (n % 29) end,
    '{answers}',
    1
from {numbers}
"""
_INPUTS = """
insert into job_input (job_id, sop_instance_uid)
select job.id, instance.sop_instance_uid from job join instance
    on instance.study_uid = job.study_uid
"""
_RESULTS = """
insert into result (job_id, kind, number, rank, style, sop_class_uid, sop_instance_uid, path, size)
select job.id, kinds.kind, 1, 0, '', '1.2.840.10008.5.1.4.1.1.88.34',
    '2.25.' || (job.id * 10 + kinds.number), 'results/' || job.id || '/' || kinds.kind, 40000
from job, (select 'sr' as kind, 1 as number union all select 'text', 2 union all select 'sc', 3)
    kinds
where job.state = 'done'
"""
_DELIVERIES = """
insert into delivery (job_id, kind, number, destination, state, priority, attempts, created_at,
    run_at, unchecked, sent_at, result_id)
select job.id, result.kind, 1, 'pacs',
    case when job.id % 2000 = 7 then 'held' when job.id % 3000 = 8 then 'dead' else 'sent' end,
    job.priority, 1, job.finished_at, job.finished_at, false, job.finished_at + 1, result.id
from job join result on result.job_id = job.id
"""
_FORMS = """
insert into delivery_form (delivery_id, rank, result_id) select id, 0, result_id from delivery
"""


def fill_node(url: str, instances: int) -> None:
    """Fill an empty database: five instances and one job per study, three results per job."""
    fill(url, instances, PER_STUDY)
    database = Database(url)
    count = instances // PER_STUDY
    seconds = DAYS * 86_400
    parts = {
        "uid": UID.format(n="n"),
        "at": f"({time.time() - seconds} + n * {seconds / count})",
        "count": count,
        "answers": json.dumps(_ANSWERS).replace(":", "\\:"),  # no names of parameters
        "numbers": NUMBERS[database.engine.dialect.name].format(count=count),
    }
    for statement in (
        _UPDATE_STUDIES, _IDENTITIES, _JOBS, _INPUTS, _RESULTS, _DELIVERIES, _FORMS
    ):  # fmt: skip
        with database.write() as connection:
            connection.execute(text(statement.format(**parts)))
    tables = ("study", "identity", "job", "job_input", "result", "delivery", "delivery_form")
    settle(database, *tables)
    database.close()
