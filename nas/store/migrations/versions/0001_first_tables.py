"""First tables."""

# ruff: noqa: E501

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Applies this revision."""
    op.create_table(
        "artifacts",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_artifacts_sha256")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_artifacts_size")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_artifacts")),
        sa.UniqueConstraint("path", name=op.f("uq_artifacts_path")),
    )
    op.create_table(
        "candidates",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("space", sa.String(length=200), nullable=False),
        sa.Column("canonical", sa.Text(), nullable=False),
        sa.Column("genotype", sa.JSON(), nullable=False),
        sa.Column("candidate", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(id) = 64", name=op.f("ck_candidates_id_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_candidates")),
    )
    op.create_index(op.f("ix_candidates_space"), "candidates", ["space"], unique=False)
    op.create_table(
        "device_profiles",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.JSON(), nullable=False),
        sa.Column("detected_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(fingerprint) = 64", name=op.f("ck_device_profiles_fingerprint_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_profiles")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'running') = (lease_until IS NOT NULL) AND (state = 'running') = (worker IS NOT NULL)",
            name=op.f("ck_jobs_running_is_leased"),
        ),
        sa.CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_jobs_ended_has_time"),
        ),
        sa.CheckConstraint("kind IN ('search', 'calibration')", name=op.f("ck_jobs_kind")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_jobs_state")
        ),
        sa.CheckConstraint("fence >= 0 AND attempts >= 0 AND max_attempts > 0", name=op.f("ck_jobs_counts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_state_created_at"), "jobs", ["state", "created_at"], unique=False)
    op.create_table(
        "supernets",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("space", sa.String(length=200), nullable=False),
        sa.Column("task", sa.JSON(), nullable=False),
        sa.Column("data_name", sa.Text(), nullable=False),
        sa.Column("data_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(id) = 64", name=op.f("ck_supernets_id_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_supernets")),
    )
    op.create_index(op.f("ix_supernets_space_created_at"), "supernets", ["space", "created_at"], unique=False)
    op.create_table(
        "artifact_uses",
        sa.Column("candidate_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.CheckConstraint("kind IN ('onnx', 'tvm', 'weights', 'manifest')", name=op.f("ck_artifact_uses_kind")),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name=op.f("fk_artifact_uses_candidate_id")),
        sa.ForeignKeyConstraint(["sha256"], ["artifacts.sha256"], name=op.f("fk_artifact_uses_sha256")),
        sa.PrimaryKeyConstraint("candidate_id", "kind", "sha256", name=op.f("pk_artifact_uses")),
    )
    op.create_index(op.f("ix_artifact_uses_sha256"), "artifact_uses", ["sha256"], unique=False)
    op.create_table(
        "evaluations",
        sa.Column("supernet_id", sa.String(length=64), nullable=False),
        sa.Column("candidate_id", sa.String(length=64), nullable=False),
        sa.Column("part", sa.String(length=8), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("part IN ('float', 'val', 'test')", name=op.f("ck_evaluations_part")),
        sa.CheckConstraint("accuracy >= 0 AND accuracy <= 1", name=op.f("ck_evaluations_accuracy_fraction")),
        sa.CheckConstraint("images > 0", name=op.f("ck_evaluations_images_positive")),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name=op.f("fk_evaluations_candidate_id")),
        sa.ForeignKeyConstraint(["supernet_id"], ["supernets.id"], name=op.f("fk_evaluations_supernet_id")),
        sa.PrimaryKeyConstraint("supernet_id", "candidate_id", "part", name=op.f("pk_evaluations")),
    )
    op.create_index(op.f("ix_evaluations_candidate_id"), "evaluations", ["candidate_id"], unique=False)
    op.create_table(
        "measurements",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("candidate_id", sa.String(length=64), nullable=False),
        sa.Column("supernet_id", sa.String(length=64), nullable=True),
        sa.Column("profile_id", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.JSON(), nullable=False),
        sa.Column("latency_p50_ms", sa.Double(), nullable=True),
        sa.Column("latency_p95_ms", sa.Double(), nullable=True),
        sa.Column("quality", sa.String(length=16), nullable=True),
        sa.Column("failure_stage", sa.String(length=16), nullable=True),
        sa.Column("failure_message", sa.Text(), nullable=True),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(latency_p50_ms IS NOT NULL AND latency_p95_ms IS NOT NULL AND quality IS NOT NULL AND failure_stage IS NULL AND failure_message IS NULL) OR (latency_p50_ms IS NULL AND latency_p95_ms IS NULL AND quality IS NULL AND failure_stage IS NOT NULL AND failure_message IS NOT NULL)",
            name=op.f("ck_measurements_measured_or_failed"),
        ),
        sa.CheckConstraint(
            "latency_p50_ms > 0 AND latency_p95_ms >= latency_p50_ms AND latency_p95_ms < 1e300",
            name=op.f("ck_measurements_latencies"),
        ),
        sa.CheckConstraint("length(fingerprint) = 64", name=op.f("ck_measurements_fingerprint_sha256")),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name=op.f("fk_measurements_candidate_id")),
        sa.ForeignKeyConstraint(["profile_id"], ["device_profiles.id"], name=op.f("fk_measurements_profile_id")),
        sa.ForeignKeyConstraint(["supernet_id"], ["supernets.id"], name=op.f("fk_measurements_supernet_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_measurements")),
    )
    op.create_index(op.f("ix_measurements_candidate_id"), "measurements", ["candidate_id"], unique=False)
    op.create_index(
        op.f("ix_measurements_profile_id_fingerprint_candidate_id"),
        "measurements",
        ["profile_id", "fingerprint", "candidate_id"],
        unique=False,
    )
    op.create_table(
        "predictors",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("profile_id", sa.String(length=200), nullable=True),
        sa.Column("space", sa.String(length=200), nullable=False),
        sa.Column("supernet_id", sa.String(length=64), nullable=True),
        sa.Column("data_sha256", sa.String(length=64), nullable=False),
        sa.Column("schema_version", sa.String(length=64), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(kind = 'latency') = (profile_id IS NOT NULL)", name=op.f("ck_predictors_latency_has_profile")
        ),
        sa.CheckConstraint("kind IN ('latency', 'accuracy')", name=op.f("ck_predictors_kind")),
        sa.CheckConstraint("length(data_sha256) = 64", name=op.f("ck_predictors_data_sha256")),
        sa.ForeignKeyConstraint(["profile_id"], ["device_profiles.id"], name=op.f("fk_predictors_profile_id")),
        sa.ForeignKeyConstraint(["supernet_id"], ["supernets.id"], name=op.f("fk_predictors_supernet_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_predictors")),
    )
    op.create_index(
        op.f("ix_predictors_kind_space_profile_id_supernet_id_created_at"),
        "predictors",
        ["kind", "space", "profile_id", "supernet_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "searches",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=True),
        sa.Column("profile_id", sa.String(length=200), nullable=False),
        sa.Column("supernet_id", sa.String(length=64), nullable=False),
        sa.Column("space", sa.String(length=200), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("evaluations", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_searches_state")),
        sa.CheckConstraint("evaluations >= 0", name=op.f("ck_searches_evaluations")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_searches_job_id")),
        sa.ForeignKeyConstraint(["profile_id"], ["device_profiles.id"], name=op.f("fk_searches_profile_id")),
        sa.ForeignKeyConstraint(["supernet_id"], ["supernets.id"], name=op.f("fk_searches_supernet_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_searches")),
        sa.UniqueConstraint("job_id", name=op.f("uq_searches_job_id")),
    )
    op.create_index(op.f("ix_searches_profile_id_space"), "searches", ["profile_id", "space"], unique=False)
    op.create_table(
        "fronts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("search_id", sa.String(length=64), nullable=False),
        sa.Column("profile_id", sa.String(length=200), nullable=False),
        sa.Column("space", sa.String(length=200), nullable=False),
        sa.Column("supernet_id", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("etag", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(etag) = 64", name=op.f("ck_fronts_etag_sha256")),
        sa.ForeignKeyConstraint(["profile_id"], ["device_profiles.id"], name=op.f("fk_fronts_profile_id")),
        sa.ForeignKeyConstraint(["search_id"], ["searches.id"], name=op.f("fk_fronts_search_id")),
        sa.ForeignKeyConstraint(["supernet_id"], ["supernets.id"], name=op.f("fk_fronts_supernet_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fronts")),
        sa.UniqueConstraint("search_id", "etag", name=op.f("uq_fronts_search_id_etag")),
    )
    op.create_index(
        op.f("ix_fronts_profile_id_space_created_at"), "fronts", ["profile_id", "space", "created_at"], unique=False
    )
    op.create_table(
        "search_generations",
        sa.Column("search_id", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("evaluations", sa.Integer(), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("generation >= 0 AND evaluations >= 0", name=op.f("ck_search_generations_counts")),
        sa.ForeignKeyConstraint(["search_id"], ["searches.id"], name=op.f("fk_search_generations_search_id")),
        sa.PrimaryKeyConstraint("search_id", "generation", name=op.f("pk_search_generations")),
    )
    op.create_table(
        "front_members",
        sa.Column("front_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("candidate_id", sa.String(length=64), nullable=False),
        sa.Column("measured", sa.Boolean(), nullable=False),
        sa.Column("latency_p50_ms", sa.Double(), nullable=False),
        sa.Column("latency_p95_ms", sa.Double(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("accuracy_val", sa.Double(), nullable=False),
        sa.Column("accuracy_test", sa.Double(), nullable=True),
        sa.CheckConstraint("accuracy_test >= 0 AND accuracy_test <= 1", name=op.f("ck_front_members_accuracy_test")),
        sa.CheckConstraint("accuracy_val >= 0 AND accuracy_val <= 1", name=op.f("ck_front_members_accuracy_val")),
        sa.CheckConstraint(
            "latency_p50_ms > 0 AND latency_p95_ms >= latency_p50_ms AND latency_p95_ms < 1e300",
            name=op.f("ck_front_members_latencies"),
        ),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_front_members_size")),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name=op.f("fk_front_members_candidate_id")),
        sa.ForeignKeyConstraint(["front_id"], ["fronts.id"], name=op.f("fk_front_members_front_id")),
        sa.PrimaryKeyConstraint("front_id", "position", name=op.f("pk_front_members")),
        sa.UniqueConstraint("front_id", "candidate_id", name=op.f("uq_front_members_front_id_candidate_id")),
    )
    op.create_index(op.f("ix_front_members_candidate_id"), "front_members", ["candidate_id"], unique=False)
    op.create_table(
        "search_trials",
        sa.Column("search_id", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("genotype", sa.JSON(), nullable=False),
        sa.Column("candidate_id", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("values", sa.JSON(), nullable=True),
        sa.Column("system_attrs", sa.JSON(), nullable=False),
        sa.CheckConstraint("state IN ('complete', 'failed')", name=op.f("ck_search_trials_state")),
        sa.CheckConstraint("position >= 0", name=op.f("ck_search_trials_position")),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name=op.f("fk_search_trials_candidate_id")),
        sa.ForeignKeyConstraint(
            ["search_id", "generation"],
            ["search_generations.search_id", "search_generations.generation"],
            name=op.f("fk_search_trials_search_id_generation"),
        ),
        sa.PrimaryKeyConstraint("search_id", "generation", "position", name=op.f("pk_search_trials")),
    )
    op.create_index(op.f("ix_search_trials_candidate_id"), "search_trials", ["candidate_id"], unique=False)
