"""Reactions in Django, in one file: ``python -m django runserver --settings=examples.django_app``.

In your project, the views go into views.py, and urlpatterns into urls.py. Ids are strings in JSON,
because JavaScript's numbers are exact only up to 2^53.
"""

from dataclasses import asdict

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods

import reactions

SECRET_KEY = "only for this example"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = __name__
USE_TZ = True


def user_id(request: HttpRequest) -> int:
    """Put your own authentication here, such as request.user.id."""
    return int(request.headers["X-User"])


@csrf_exempt  # the example uses no cookies; with sessions, remove this line
@require_http_methods(["PUT", "DELETE"])
def reaction(request: HttpRequest, post_id: int) -> JsonResponse:
    user = user_id(request)
    try:
        if request.method == "DELETE":
            return JsonResponse(asdict(reactions.unreact(user, post_id)))
        return JsonResponse(asdict(reactions.react(user, post_id, request.GET.get("reaction"))))
    except reactions.InvalidArgument as error:
        return JsonResponse({"detail": str(error)}, status=422)
    except reactions.PostDeleted as error:
        return JsonResponse({"detail": str(error)}, status=410)
    except reactions.ReactionsUnavailable:
        return JsonResponse({"detail": "try again"}, status=503, headers={"Retry-After": "1"})


@require_GET
def feed(request: HttpRequest) -> JsonResponse:
    posts = [int(post) for post in request.GET.getlist("post")]
    found = reactions.summaries(posts, user_id(request))
    shown = [asdict(one) | {"post_id": str(one.post_id)} for one in found]
    return JsonResponse(shown, safe=False)


urlpatterns = [
    path("posts/<int:post_id>/reaction", reaction),
    path("feed", feed),
]
