"""The addresses of the web app."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from visus.catalogue import Card, cards
from visus.errors import InputError, MissingExtra, VisusError
from visus.records import record
from visus.serve.finding import Found, SavedModel, search
from visus.serve.guard import REPORT_POLICY, Body, Guard, TooLarge, own_names
from visus.serve.intake import Intake, first_lines, intake
from visus.serve.pages import SHOWN_ROWS, evidence_of, page, report_page, style
from visus.serve.predicting import Busy, Failed, Predictor, Result
from visus.serve.uploads import TABLES, Upload, endings, receive
from visus.serve.words import WORDS
from visus.version import __version__

RETRY_SECONDS = 10
_FORM = {"type": "array", "items": {"type": "string", "format": "binary"}}
_BODY = {
    "required": True,
    "content": {"multipart/form-data": {"schema": {"type": "object", "properties": {"files": _FORM}}}},
}


@record
class Settings:
    """What the server shows and takes."""

    roots: tuple[Path, ...]
    """Folders searched for models and reports."""
    scratch: Path
    """Folder for the files of running requests."""
    host: str = "127.0.0.1"
    lang: str = "en"
    max_files: int = 200
    max_megabytes: int = 256
    waiting: int = 4
    """Predictions that may wait for the one that runs."""
    upload_seconds: float = 300.0

    @property
    def limits(self) -> dict[str, int]:
        """For the sentences that name them."""
        return {"files": self.max_files, "size": self.max_megabytes}


def create(settings: Settings) -> Guard:
    """The app, ready to be served."""
    app = FastAPI(
        title="visus", version=__version__, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json"
    )
    site, api = _Site(settings), {"include_in_schema": True, "tags": ["api"]}
    site.refuse_in_words(app)
    shown = {"include_in_schema": False, "response_class": HTMLResponse}
    for path, endpoint in (
        ("/", site.catalog),
        ("/papers/{slug}", site.paper),
        ("/reports", site.reports),
        ("/reports/{id}", site.report),
        ("/models", site.models),
        ("/models/{id}", site.form),
        ("/style.css", site.style),
    ):
        app.add_api_route(path, endpoint, methods=["GET"], **shown)
    app.add_api_route("/models/{id}", site.predict, methods=["POST"], **shown)
    app.add_api_route("/api/papers", site.api_papers, methods=["GET"], **api)
    app.add_api_route("/api/models", site.api_models, methods=["GET"], **api)
    app.add_api_route(
        "/api/models/{id}/predict",
        site.api_predict,
        methods=["POST"],
        openapi_extra={"requestBody": _BODY},
        **api,
    )
    return Guard(app, hosts=own_names(settings.host))


class _Site:
    """The endpoints."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.predictor = Predictor(settings.scratch, waiting=settings.waiting)

    # ---- pages

    def catalog(self, request: Request) -> Response:
        return self._page(request, "catalog", cards=cards())

    def paper(self, request: Request, slug: str) -> Response:
        card = next((card for card in cards() if card.slug == slug), None)
        if card is None:
            raise HTTPException(404)
        found = self._search()
        return self._page(
            request,
            "paper",
            card=card,
            commands=first_lines(slug) if card.implemented else {},
            evidence=evidence_of(card, found, self._lang(request)),
            models=[model for model in found.models if model.slug == slug],
        )

    def reports(self, request: Request) -> Response:
        return self._page(request, "reports", found=self._search())

    def report(self, request: Request, id: str) -> Response:
        document = self._search().document(id)
        if document is None:
            raise HTTPException(404)
        text = report_page(document, lang=self._lang(request))
        return HTMLResponse(text, headers={"content-security-policy": REPORT_POLICY})

    def models(self, request: Request) -> Response:
        return self._page(request, "models", found=self._search(), titles=_titles(self._lang(request)))

    def form(self, request: Request, id: str) -> Response:
        return self._form(request, self._model(id))

    def style(self) -> Response:
        return Response(style(), media_type="text/css", headers={"cache-control": "max-age=600"})

    async def predict(self, request: Request, id: str) -> Response:
        model = await asyncio.to_thread(self._model, id)
        try:
            result = await self._predicted(request, model)
        except (TooLarge, Busy, TimeoutError):
            raise
        except VisusError as error:
            return self._form(request, model, error=str(error), status=_status(error))
        return self._form(request, model, result=result)

    # ---- for programs

    def api_papers(self) -> list[dict[str, Any]]:
        """The catalogue."""
        fields = ("slug", "arxiv", "title", "title_zh", "task", "task_zh", "status", "url", "extra", "verbs")
        return [{name: getattr(card, name) for name in fields} for card in cards()]

    def api_models(self) -> list[dict[str, Any]]:
        """The saved models, and how to ask them for predictions."""
        return [self._described(model) for model in self._search().models]

    async def api_predict(self, request: Request, id: str) -> dict[str, Any]:
        """Predict for the uploaded files: fields `files` (any number) and the names of columns, if needed.

        One CSV may be among the files. Columns of decimal numbers come as numbers, all others as text. With
        `?pictures=true`, models that can draw send the first PNG files they drew, too: name and content in base64.
        """
        model = await asyncio.to_thread(self._model, id)
        draw = request.query_params.get("pictures") in ("true", "1", "yes")
        result = await self._predicted(request, model, draw=draw)
        plain = {"model": id, "method": model.slug, "columns": result.columns, "rows": result.records()}
        if draw:
            plain["pictures"] = [{"name": item.name, "png": item.base64} for item in result.pictures]
        return plain

    def _described(self, model: SavedModel) -> dict[str, Any]:
        plain = {"id": model.id, "name": model.name, "method": model.slug, "estimator": model.estimator}
        asked, why = _asked(model)
        if asked is None:
            return {**plain, "visus": model.version, "predict": None, "why": why}
        takes = {
            "files": "videos" if asked.videos else "pictures",
            "table": "needed" if asked.needs_table else "optional",
            "columns": dict(asked.columns),
            "draws": asked.draws,
        }
        return {**plain, "visus": model.version, "predict": f"/api/models/{model.id}/predict", **takes}

    # ---- what both need

    def _lang(self, request: Request) -> str:
        wanted = request.query_params.get("lang")
        return wanted if wanted in WORDS else self.settings.lang

    def _page(self, request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
        text = page(template, lang=self._lang(request), path=request.url.path, **values)
        return HTMLResponse(text, status_code=status)

    def _search(self) -> Found:
        return search(self.settings.roots)

    def _model(self, id: str) -> SavedModel:
        model = self._search().model(id)
        if model is None:
            raise HTTPException(404, "no_model")
        return model

    def _form(
        self,
        request: Request,
        model: SavedModel,
        *,
        result: Result | None = None,
        error: str = "",
        status: int = 200,
    ) -> Response:
        asked, why = _asked(model)
        return self._page(
            request,
            "model",
            status=status,
            model=model,
            title=_titles(self._lang(request))[model.slug],
            asked=asked,
            why=why,
            error=error,
            result=result,
            shown=SHOWN_ROWS,
            csv="" if result is None else "data:text/csv;charset=utf-8," + quote(result.csv),
            accept={
                "files": ",".join(endings(videos=asked is not None and asked.videos)),
                "table": ",".join(TABLES),
            },
            limits=self.settings.limits,
            base=str(request.base_url).rstrip("/"),
        )

    async def _predicted(self, request: Request, model: SavedModel, *, draw: bool = True) -> Result:
        """Receive the files and predict; whatever happens, nothing of them stays."""
        asked = await asyncio.to_thread(intake, model.slug)
        body = Body(request.receive, self.settings.max_megabytes * 2**20)
        try:
            async with self.predictor.place() as folder:
                async with asyncio.timeout(self.settings.upload_seconds):
                    upload, columns = await self._received(Request(request.scope, body), folder / "in", asked)
                return await self.predictor.predict(folder, asked, model, upload, columns, draw=draw)
        except (Busy, TooLarge):
            await body.drop()
            raise

    async def _received(
        self, incoming: Request, folder: Path, asked: Intake
    ) -> tuple[Upload, dict[str, str]]:
        """The files of a form, written to `folder`, and the names of columns."""
        most = self.settings.max_files
        try:  # two more: a form sends an empty file field as a file without a name
            form = await incoming.form(max_files=most + 2, max_fields=20, max_part_size=4096)
        except HTTPException as error:
            if "Too many files" in error.detail:
                raise TooLarge("too many files were sent") from None
            raise InputError("the form is damaged", remedy="send it again") from None
        try:
            files = [item for _, item in form.multi_items() if isinstance(item, UploadFile) and item.filename]
            if len(files) > most:
                raise TooLarge("too many files were sent")
            texts = {name: text.strip() for name, text in form.items() if isinstance(text, str)}
            columns = {name: text for name, text in texts.items() if text and name in asked.columns}
            return await asyncio.to_thread(_store, files, folder, asked), columns
        finally:
            await form.close()

    # ---- errors

    def refuse_in_words(self, app: FastAPI) -> None:
        """Every refusal as a page, or as JSON under /api."""
        limits = self.settings.limits

        def answer(request: Request, status: int, key: str, said: str = "") -> Response:
            headers = {"retry-after": str(RETRY_SECONDS)} if status == 503 else {}
            if request.url.path.startswith("/api/"):
                words = said or WORDS["en"][key].format(**limits)
                return JSONResponse({"error": words}, status_code=status, headers=headers)
            words = said or WORDS[self._lang(request)][key].format(**limits)
            shown = self._page(request, "problem", status=status, words=words)
            shown.headers.update(headers)
            return shown

        def http(request: Request, error: Exception) -> Response:
            assert isinstance(error, HTTPException)
            known = error.detail in WORDS["en"] or error.status_code == 404
            key = error.detail if error.detail in WORDS["en"] else "no_page"
            return answer(request, error.status_code, key, "" if known else error.detail)

        def visus(request: Request, error: Exception) -> Response:
            return answer(request, _status(error), "problem", str(error))

        app.add_exception_handler(HTTPException, http)
        app.add_exception_handler(VisusError, visus)
        app.add_exception_handler(TooLarge, lambda request, _: answer(request, 413, "too_large"))
        app.add_exception_handler(Busy, lambda request, _: answer(request, 503, "busy"))
        app.add_exception_handler(TimeoutError, lambda request, _: answer(request, 408, "slow"))


def _status(error: Exception) -> int:
    return 500 if isinstance(error, Failed) else 501 if isinstance(error, MissingExtra) else 400


def _asked(model: SavedModel) -> tuple[Intake | None, str]:
    """What the model's method asks for, or why it cannot be used here."""
    try:
        return intake(model.slug), ""
    except VisusError as error:
        return None, str(error)


def _store(uploads: Sequence[UploadFile], folder: Path, asked: Intake) -> Upload:
    targets, upload = receive(folder, [item.filename or "" for item in uploads], videos=asked.videos)
    for item, target in zip(uploads, targets, strict=True):
        with target.open("xb") as stream:
            shutil.copyfileobj(item.file, stream)
    return upload


def _titles(lang: str) -> dict[str, str]:
    chosen: dict[str, Card] = {card.slug: card for card in cards()}
    return {slug: card.text("title", "zh" if lang == "zh" else "en") for slug, card in chosen.items()}
