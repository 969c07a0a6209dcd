from tests.examples.conftest import Serve, load
from tests.examples.session import Session


def test_questions_are_answered(serve: Serve) -> None:
    with Session(serve(load("rpc"))) as session:
        rooms = session.ask("rpc", method="rooms.list")["data"]
        assert [room["name"] for room in rooms] == ["lobby", "staff"]
        assert session.ask("rpc", method="rooms.get", data={"name": "staff"})["data"]["topic"] == "work"


def test_an_error_of_the_app_is_an_answer_too(serve: Serve) -> None:
    with Session(serve(load("rpc"))) as session:
        answer = session.ask("rpc", method="rooms.get", data={"name": "attic"})
        assert answer["error"] == {"code": 404, "message": "no such room"}
        assert session.ask("rpc", method="rooms.get", data={})["error"]["message"] == "name: Field required"
        assert session.ask("rpc", method="rooms.burn")["error"]["code"] == 104
